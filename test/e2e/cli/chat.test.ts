/** @file `craft generate --interactive`, over a pipe. */
import { spawn, type ChildProcess } from "node:child_process";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { generate } from "../../../src/generation/index.js";
import { AutoTokenizer, type ChatMessage } from "../../../src/text/index.js";
import { command, craft, craftJson, makeModel, newFolder, root } from "./craft.js";

let folder: string;
beforeAll(async () => {
  folder = await makeModel(newFolder());
});

const children: ChildProcess[] = [];
afterEach(() => children.splice(0).forEach((child) => child.kill("SIGKILL")));

/** A conversation that is under way. */
function chat(args: readonly string[]) {
  const child = spawn(
    process.execPath,
    [command, "generate", "--model", folder, "--dtype", "float32", "--interactive", ...args],
    { cwd: root, env: { ...process.env, OMP_NUM_THREADS: "1" }, stdio: ["pipe", "pipe", "pipe"] },
  );
  children.push(child);
  const seen = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (seen.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (seen.stderr += text));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const until = async (holds: () => boolean): Promise<void> => {
    for (const end = performance.now() + 20_000; !holds();) {
      if (performance.now() > end) throw new Error(`nothing came: ${JSON.stringify(seen)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  return { child, seen, ended, until };
}

describe("craft generate --interactive", () => {
  it("answers each line with what was said before in mind, and forgets it when told", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(folder);
    const model = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });
    const answer = async (messages: readonly ChatMessage[]): Promise<string> => {
      const inputIds = [tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })];
      const { sequences } = await generate(model, { inputIds, maxNewTokens: 6 });
      return tokenizer.decode(sequences[0]!, { skipSpecialTokens: true });
    };
    const system = { role: "system", content: "Be kind." };
    const [one, two] = ["Hello", "And the cat?"].map((content) => ({ role: "user", content }));
    const first = await answer([system, one!]);
    const second = await answer([system, one!, { role: "assistant", content: first }, two!]);
    const fresh = await answer([system, two!]);
    model.dispose();

    const { child, seen, ended } = chat(["--system", "Be kind.", "--max-new-tokens", "6"]);
    child.stdin.end(`${one!.content}\n\n${two!.content}\n/clear\n${two!.content}\n/exit\nmore\n`);
    expect(await ended).toBe(0);
    expect(seen.stdout).toBe(`${first}\n${second}\n${fresh}\n`);
    expect(seen.stderr).toBe("");
  });

  it.skipIf(process.platform === "win32")("leaves at the second Ctrl-C", async () => {
    const { child, seen, ended, until } = chat(["--max-new-tokens", "4"]);
    child.stdin.write("Hello\n");
    await until(() => seen.stdout !== "");
    child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 300));
    child.kill("SIGINT");
    expect(await ended).toBe(130);
  });

  it("tells what cannot be answered and goes on", async () => {
    const { child, seen, ended } = chat(["--max-new-tokens", "4"]);
    child.stdin.end(`${"very long ".repeat(60)}\nHello\n`);
    expect(await ended).toBe(0);
    expect(seen.stderr).toMatch(
      /^error: conversation = \d+ tokens: leaves no room .* 128 positions.*\/clear/,
    );
    expect(seen.stdout).toMatch(/\n$/);
  });
});

describe("craft generate", () => {
  const given = ["generate", "--model", "", "--dtype", "float32", "--prompt", "Hello"];
  const args = (...more: string[]) => given.map((arg, i) => (i === 2 ? folder : arg)).concat(more);

  it("prints several sequences, with log-probabilities", async () => {
    const flags = ["--temperature", "1", "--top-k", "20", "--num-return-sequences", "3", "--log-probs", "2"];
    const { sequences } = await craftJson(args("--max-new-tokens", "4", ...flags));
    const rows = sequences as { token_ids: number[]; log_probs: { log_prob: number; top: object[] }[] }[];
    expect(rows.length).toBe(3);
    for (const row of rows) {
      expect(row.log_probs.length).toBe(row.token_ids.length);
      expect(row.log_probs.every(({ log_prob, top }) => log_prob < 0 && top.length === 2)).toBe(true);
    }
  });

  it("searches with beams", async () => {
    const { score, stopped, token_ids } = await craftJson(args("--max-new-tokens", "5", "--num-beams", "3"));
    expect(score).toBeLessThan(0);
    expect(stopped === "length" || stopped === "eos").toBe(true);
    expect((token_ids as number[]).length).toBeLessThanOrEqual(5);
  });

  it("refuses options that contradict each other", async () => {
    const { code, stderr } = await craft(args("--top-p", "0.9"));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: topP = 0.9: acts on tokens that are drawn, but temperature is 0/);
  });
});
