/** @file `craft tokenize`: what it shows is what SFT trains. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { run } from "../../../src/cli/tokenize.js";
import { rowLines } from "../../../src/cli/tokenize/row_lines.js";
import type { ShownRow } from "../../../src/cli/tokenize/shown_row.js";
import { Dataset, prepareSftDataset } from "../../../src/data/index.js";
import { AutoTokenizer } from "../../../src/text/index.js";

const model = fileURLToPath(new URL("../../fixtures/text/byte_level", import.meta.url));
const tokenizer = await AutoTokenizer.fromPretrained(model);
const folder = mkdtempSync(join(tmpdir(), "craft-tokenize-"));
const dataset = join(folder, "rows.jsonl");
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

async function output(rows: readonly object[], options: Record<string, unknown> = {}): Promise<string> {
  writeFileSync(dataset, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const written: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(await run({ model, dataset, ...options })).toBe(0);
  vi.restoreAllMocks();
  return written.join("");
}

const json = async (rows: readonly object[], options: Record<string, unknown> = {}): Promise<ShownRow[]> =>
  (JSON.parse(await output(rows, { ...options, json: true })) as { rows: ShownRow[] }).rows;

const texts = ({ tokens }: ShownRow, role: string | null, trained?: boolean): string =>
  tokens
    .filter((token) => token.role === role && (trained === undefined || token.trained === trained))
    .map(({ text }) => text)
    .join("");

const pairs = [
  { prompt: "What does the cat do?", completion: " It sleeps é 😀." },
  { prompt: "And the dog?", completion: " It barks." },
];
const chat = [
  { role: "system", content: "Be kind." },
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Hi there" },
];

describe("craft tokenize", () => {
  it("shows prompt and completion, of which the completion is trained, as SFT prepares them", async () => {
    const rows = await json(pairs);
    const { dataset: prepared } = await prepareSftDataset(Dataset.fromArray(pairs), tokenizer);
    for (const [i, row] of rows.entries()) {
      const { input_ids: ids, labels } = await prepared.row(i);
      expect(row.tokens.map(({ id }) => id)).toEqual([...ids]);
      expect(row.tokens.map(({ trained }) => trained)).toEqual([...labels].map((label) => label !== -100));
      expect(row.where).toMatch(new RegExp(`rows\\.jsonl, line ${i + 1}$`));
    }
    expect(texts(rows[1]!, "prompt")).toBe(`${tokenizer.bosToken}And the dog?`);
    expect(texts(rows[1]!, "completion", true)).toBe(` It barks.${tokenizer.eosToken}`);
    expect(texts(rows[1]!, "completion", false)).toBe("");
    const all = await json(pairs, { completionOnlyLoss: "false" });
    expect(all[1]!.tokens.map(({ trained }) => trained).slice(0, 3)).toEqual([false, true, true]);
  });

  it("tells the roles of a conversation, and which turns are trained", async () => {
    const [row] = await json([{ messages: chat }], { assistantOnlyLoss: true });
    for (const { role, content } of chat) expect(texts(row!, role)).toContain(content);
    expect(texts(row!, "assistant", true)).toContain("Hi there");
    expect(texts(row!, "user", true) + texts(row!, "system", true)).toBe("");
    const [whole] = await json([{ messages: chat }]);
    expect(texts(whole!, "user", true)).toContain("Hello");
  });

  it("shows what a cut leaves, with the roles that it had", async () => {
    const length = (await json(pairs))[0]!.tokens.length;
    const [start] = await json(pairs, { maxLength: String(length - 2) });
    expect(start!.tokens.length).toBe(length - 2);
    expect(texts(start!, "prompt")).toContain("What");
    const [end] = await json(pairs, { maxLength: String(length - 2), truncationMode: "keep_end" });
    expect(texts(end!, "prompt")).not.toContain("What");
    expect(texts(end!, "completion")).toBe(
      ` It sleeps ${
        end!.tokens
          .map(({ text }) => text)
          .join("")
          .split(" It sleeps ")[1]!
      }`,
    );
  });

  it("shows plain text, and tokens whose role nobody knows", async () => {
    const [text] = await json([{ story: "Once" }], { textColumn: "story" });
    expect(texts(text!, "text")).toContain("Once");
    const [tokens] = await json([{ input_ids: [5, 6, 7], labels: [-100, -100, 7] }]);
    expect(tokens!.tokens.map(({ role, trained }) => [role, trained])).toEqual([
      [null, false],
      [null, false],
      [null, true],
    ]);
  });

  it("prints lines without colours where nobody looks at a terminal, as many rows as asked for", async () => {
    const text = await output(pairs, { rows: "1" });
    expect(text).not.toContain("\u001b");
    const lines = text.trimEnd().split("\n");
    expect(lines[0]).toMatch(/rows\.jsonl, line 1: \d+ tokens, \d+ trained$/);
    expect(lines[1]).toMatch(/^ {2}prompt {6}\S/);
    expect(lines[2]).toMatch(/^\* completion {2}/);
    expect(lines.length).toBe(3);
  });

  it("colours what is trained, and shows what would break a line", () => {
    const token = (text: string, trained: boolean) => ({ id: 1, text, role: "a", trained });
    const row = { where: "x", tokens: [token("p\n", false), token("\u001b[2J", true), token("\t", true)] };
    const lines = rowLines(row, true).split("\n");
    expect(lines[1]).toBe("  a  \u001b[2mp⏎\u001b[0m");
    expect(lines[2]).toBe("* a  \u001b[32m\\x1b[2J\u001b[0m\u001b[32m\u001b[4m⇥\u001b[0m");
    expect(rowLines(row, false)).toContain("* a  \\x1b[2J|⇥");
  });

  it.each([
    [{ rows: "0" }, /^--rows = 0/],
    [{ truncationMode: "middle" }, /^--truncation-mode = middle: must be one of "keep_start", "keep_end"/],
    [{ maxLength: "1" }, /^--max-length = 1/],
    [{ dataset: "missing.jsonl" }, /missing\.jsonl/],
    [{ model: "/nowhere" }, /nowhere/],
  ])("refuses %j", async (options, message) => {
    await expect(run({ model, dataset, ...options })).rejects.toThrow(message);
  });
});
