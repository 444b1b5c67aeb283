/** @file Prompts and rewards for the tiny model. */
import { Random } from "../../../src/random.js";
import type { NamedReward } from "../../../src/trainers/index.js";
import { vocabulary } from "../training/tiny_data.js";

export interface TinyPrompt {
  readonly input_ids: readonly number[];
  readonly wanted: number;
}

/** Prompts of 2 to 5 tokens. */
export function tinyPrompts(count: number, seed = 9): TinyPrompt[] {
  const random = new Random(seed, "prompts");
  return Array.from({ length: count }, (_, i) => ({
    input_ids: Array.from({ length: 2 + random.integer(4) }, () => 3 + random.integer(vocabulary - 3)),
    wanted: i % 2,
  }));
}

/** The share of tokens below half of the vocabulary. */
export const lowTokens: NamedReward = {
  name: "low_tokens",
  score: ({ completionIds }) =>
    completionIds.map((ids) => ids.filter((id) => id < vocabulary / 2).length / ids.length),
};
