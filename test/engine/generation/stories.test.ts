/** @file A truly trained model (stories260K) against transformers, through the library and through the command. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { run as runEval } from "../../../src/cli/eval.js";
import { run as runGenerate } from "../../../src/cli/generate.js";
import { generate } from "../../../src/generation/index.js";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { AutoTokenizer } from "../../../src/text/index.js";

const folder = join(import.meta.dirname, "../../../../shared/data/stories260K");
const present = existsSync(join(folder, "reference.json"));

interface Reference {
  readonly text: string;
  readonly input_ids: readonly number[];
  readonly loss: number;
  readonly greedy_prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
}

/** Runs a command and gives what it wrote to stdout. */
async function output(command: () => Promise<number>): Promise<string> {
  const written: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  expect(await command()).toBe(0);
  vi.restoreAllMocks();
  return written.join("");
}

afterEach(() => vi.restoreAllMocks());

describe.skipIf(!present)(`stories260K${present ? "" : " (skipped: ../shared/data is not there)"}`, () => {
  const reference = (): Reference =>
    JSON.parse(readFileSync(join(folder, "reference.json"), "utf8")) as Reference;

  it("tells the story that transformers tells", async () => {
    const { greedy_prompt_ids: prompt, greedy_ids: story } = reference();
    using model = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });
    const { sequences } = await generate(model, {
      inputIds: [prompt],
      maxNewTokens: story.length - prompt.length,
    });
    expect([...prompt, ...sequences[0]!]).toEqual(story);
  });

  it("does so from the command line", async () => {
    const { greedy_prompt_ids: prompt, greedy_ids: story } = reference();
    const tokenizer = await AutoTokenizer.fromPretrained(folder);
    const options = {
      model: folder,
      prompt: tokenizer.decode(prompt, { skipSpecialTokens: true }),
      maxNewTokens: String(story.length - prompt.length),
      temperature: "0",
      dtype: "float32",
    };
    const expected = story.slice(prompt.length);
    const text = tokenizer.decode(expected, { skipSpecialTokens: true });
    const json = await output(() => runGenerate({ ...options, json: true }));
    expect(JSON.parse(json)).toEqual({ text, token_ids: expected, stopped: "length" });
    expect((await output(() => runGenerate(options))).trim()).toBe(text.trim());
  });

  it("has the loss of transformers on the command line", async () => {
    const { text, input_ids: ids, loss } = reference();
    const temporary = mkdtempSync(join(tmpdir(), "craft-eval-"));
    try {
      const dataset = join(temporary, "rows.jsonl");
      writeFileSync(dataset, `${JSON.stringify({ story: text })}\n`);
      const options = { model: folder, dataset, textColumn: "story", dtype: "float32", json: true };
      const whole = await output(() => runEval({ ...options, maxLength: "512" }));
      const result = JSON.parse(whole) as { loss: number; tokens: number };
      expect(result.tokens).toBe(ids.length - 1);
      expect(result.loss).toBeCloseTo(loss, 5);
      const cut = await output(() => runEval({ ...options, maxLength: "9" }));
      expect((JSON.parse(cut) as { tokens: number }).tokens).toBe(8);
      await expect(runEval({ ...options, textColumn: "text" })).rejects.toThrow(
        /rows\.jsonl, line 1: has no column "text"; its columns are "story"/,
      );
      writeFileSync(dataset, `${JSON.stringify({ story: text })}\n{"story": ""}\n`);
      await expect(runEval(options)).rejects.toThrow(/line 2, column "story" = : is empty/);
    } finally {
      rmSync(temporary, { recursive: true });
    }
  });
});

describe("the commands refuse", () => {
  const given = { model: folder, prompt: "Once", dataset: "rows.jsonl" };
  it.each([
    [{ maxNewTokens: "2.5" }, /^--max-new-tokens = 2.5: must be a whole number from 1 on/],
    [{ maxNewTokens: "many" }, /^--max-new-tokens = many/],
    [{ maxNewTokens: "" }, /^--max-new-tokens/],
    [{ temperature: "-1" }, /^--temperature = -1: must be a number from 0 on/],
    [{ dtype: "float8" }, /^--dtype = float8: is not a dtype/],
    [{ model: "/nowhere" }, /\/nowhere/],
    [{ prompt: undefined }, /^--prompt: is missing/],
    [{ topK: "1.5" }, /^--top-k = 1.5: must be a whole number from 0 on/],
    [{ earlyStopping: "maybe" }, /^--early-stopping = maybe: must be one of "true", "false", "never"/],
    [{ interactive: true, prompt: "Once" }, /^--prompt = Once: does not go together with --interactive/],
    [{ system: "Be kind." }, /^--system = Be kind.: needs --chat or --interactive/],
    [{ logProbs: "2" }, /^--log-probs = 2: is told with --json only/],
  ] as const)("%j for generate", async (options, message) => {
    await expect(runGenerate({ ...given, ...options })).rejects.toThrow(message);
  });

  it.each([
    [{ metric: "loss,blue" }, /^--metric = blue: must be one of "loss", "perplexity", "bleu", "chrf"/],
    [{ maxLength: "1" }, /^--max-length = 1/],
    [{ batchSize: "0" }, /^--batch-size = 0/],
    [{ dataset: "missing.jsonl" }, /missing\.jsonl/],
  ] as const)("%j for eval", async (options, message) => {
    await expect(runEval({ ...given, ...options })).rejects.toThrow(message);
  });
});
