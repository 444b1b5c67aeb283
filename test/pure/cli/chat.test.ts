/** @file Ctrl-C in a conversation, with a model that never ends by itself. */
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Chat } from "../../../src/cli/chat.js";
import type { GeneratedToken, GenerateOptions, Generation } from "../../../src/generation/index.js";
import { AutoTokenizer } from "../../../src/text/index.js";

const tokenizer = await AutoTokenizer.fromPretrained(
  fileURLToPath(new URL("../../fixtures/text/byte_level", import.meta.url)),
);
const [word] = tokenizer.encode("a", { addSpecialTokens: false });

function conversation() {
  const prompts: string[] = [];
  let freed = 0;
  async function* endless({ inputIds }: GenerateOptions): AsyncGenerator<GeneratedToken, Generation> {
    prompts.push(tokenizer.decode(inputIds[0]!));
    try {
      for (let index = 0; ; index++) {
        yield { row: 0, index, token: word! };
        await wait(2);
      }
    } finally {
      freed++;
    }
  }
  const shape = { layers: 1, hiddenSize: 1, kvHeads: 1, headSize: 1, vocabSize: 640, maxLength: 4096 };
  const chat = new Chat({
    model: { shape, generationConfig: undefined },
    tokenizer,
    generator: { stream: endless },
    settings: {},
    system: undefined,
  });
  const [input, output, errors, signals] = [
    new PassThrough(),
    new PassThrough(),
    new PassThrough(),
    new EventEmitter(),
  ];
  const seen = { output: "", errors: "" };
  output.setEncoding("utf8").on("data", (text: string) => (seen.output += text));
  errors.setEncoding("utf8").on("data", (text: string) => (seen.errors += text));
  const code = chat.run(input, output, errors, signals);
  const until = async (holds: () => boolean): Promise<void> => {
    for (let i = 0; i < 1000 && !holds(); i++) await wait(5);
    expect(holds()).toBe(true);
  };
  return { input, signals, seen, code, until, prompts, freed: () => freed };
}

describe("Ctrl-C in a conversation", () => {
  it("stops the answer, which stays part of the conversation, and goes on", async () => {
    const { input, signals, seen, code, until, prompts, freed } = conversation();
    input.write("Hello\n");
    await until(() => seen.output.length >= 3);
    signals.emit("SIGINT");
    await until(() => seen.output.endsWith("\n"));
    expect(freed()).toBe(1);
    const answer = seen.output.trimEnd();
    expect(answer).toMatch(/^a{3,}$/);
    expect(seen.errors).toBe("");

    input.write("And?\n");
    await until(() => prompts.length === 2 && seen.output.length > answer.length + 2);
    expect(prompts[1]).toContain(answer);
    // A message in between: this is a first Ctrl-C again.
    signals.emit("SIGINT");
    await until(() => freed() === 2);
    input.end();
    expect(await code).toBe(0);
    expect(signals.listenerCount("SIGINT")).toBe(0);
  });

  it("leaves when it comes twice, at once or after an answer was stopped", async () => {
    for (const pause of [false, true]) {
      const { input, signals, seen, code, until, freed } = conversation();
      input.write("Hello\n");
      await until(() => seen.output !== "");
      signals.emit("SIGINT");
      if (pause) await until(() => seen.output.endsWith("\n"));
      signals.emit("SIGINT");
      expect(await code).toBe(130);
      expect(freed()).toBe(1);
    }
  });

  it("tells how to leave where there is no answer to stop", async () => {
    const { signals, seen, code, until } = conversation();
    signals.emit("SIGINT");
    await until(() => seen.errors.includes("Press Ctrl-C again to leave."));
    signals.emit("SIGINT");
    expect(await code).toBe(130);
  });
});
