/** @file The command on a truly trained model, against transformers (parity/cli.py). */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { craftJson, newFolder, root, writeJsonl } from "./craft.js";

interface Fixture {
  readonly rows: readonly string[];
  readonly eval: readonly { readonly max_length: number; readonly loss: number; readonly tokens: number }[];
  readonly generate: readonly {
    readonly prompt: string;
    readonly max_new_tokens: number;
    readonly token_ids: readonly number[];
    readonly text: string;
  }[];
}

const expected = JSON.parse(readFileSync(join(root, "test/fixtures/cli/stories.json"), "utf8")) as Fixture;
const model = join(root, "../shared/data/stories260K");
const present = existsSync(join(model, "model.safetensors"));

describe.skipIf(!present)(`stories260K${present ? "" : " (skipped: ../shared/data is not there)"}`, () => {
  let dataset: string;
  beforeAll(() => {
    dataset = writeJsonl(
      join(newFolder(), "rows.jsonl"),
      expected.rows.map((story) => ({ story })),
    );
  });

  it.each(expected.eval)(
    "craft eval, rows of at most $max_length tokens",
    async ({ max_length, loss, tokens }) => {
      const args = ["--model", model, "--dataset", dataset, "--text-column", "story", "--metric", "loss"];
      const result = await craftJson([
        "eval",
        ...args,
        "--max-length",
        String(max_length),
        "--dtype",
        "float32",
      ]);
      expect(result["tokens"]).toBe(tokens);
      expect(Math.abs((result["loss"] as number) - loss)).toBeLessThan(1e-4);
    },
  );

  it("craft eval gives the same with rows one by one and all at once", async () => {
    const { loss } = expected.eval[0]!;
    for (const size of ["1", "7"]) {
      const args = ["--model", model, "--dataset", dataset, "--text-column", "story", "--batch-size", size];
      const result = await craftJson(["eval", ...args, "--dtype", "float32"]);
      expect(Math.abs((result["loss"] as number) - loss)).toBeLessThan(1e-4);
    }
  });

  it.each(expected.generate)(
    "craft generate after $prompt",
    async ({ prompt, max_new_tokens, token_ids, text }) => {
      const args = ["--prompt", prompt, "--max-new-tokens", String(max_new_tokens), "--temperature", "0"];
      const result = await craftJson(["generate", "--model", model, ...args, "--dtype", "float32"]);
      expect(result["token_ids"]).toEqual(token_ids);
      expect(result["text"]).toBe(text);
    },
  );

  it("craft generate at a temperature is a function of the seed", async () => {
    const sample = async (seed: string): Promise<unknown> => {
      const args = ["--prompt", "Once", "--max-new-tokens", "12", "--temperature", "3", "--seed", seed];
      return (await craftJson(["generate", "--model", model, ...args, "--dtype", "float32"]))["token_ids"];
    };
    const first = await sample("1");
    expect(await sample("1")).toEqual(first);
    expect(await sample("2")).not.toEqual(first);
  });
});
