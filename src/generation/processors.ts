/**
 * @file What is done to logits before a token is chosen. Order and meaning are those of transformers 5: repetition
 * penalty, temperature, top-k, top-p, min-p. What may not be drawn gets minus infinity. Traced functions.
 */
import { amax, exp, maskedFill, minimum, sub, where, type Tensor } from "../tensor/index.js";

/** How scores are made of logits where tokens are drawn. */
export type Filters = {
  /** float64 scalar above 0. */
  readonly temperature: Tensor;
  /** Part of the program; 0 keeps all tokens. */
  readonly topK: number;
  /** float64 scalar in [0, 1]. */
  readonly topP: Tensor | undefined;
  /** float64 scalar in [0, 1]. */
  readonly minP: Tensor | undefined;
};

/**
 * Scores of tokens that the row already has are divided by the penalty where they are positive, else multiplied
 * (Keskar et al. 2019).
 *
 * @param scores [rows, vocabulary]
 * @param seen [rows, vocabulary], 0 for tokens that the row does not have
 * @param penalty scalar above 0
 */
export const penalise = (scores: Tensor, seen: Tensor, penalty: Tensor): Tensor =>
  where(seen.ne(0), where(scores.lt(0), scores.mul(penalty), scores.div(penalty)), scores);

/**
 * Scores that tokens are drawn by: softmax gives the chances.
 *
 * @param logits [rows, vocabulary] in float64
 */
export function filter(logits: Tensor, { temperature, topK, topP, minP }: Filters): Tensor {
  // Taking the largest off first keeps every temperature finite.
  let scores = sub(logits, amax(logits, [-1], true)).div(temperature);
  if (topK > 0 && topK < scores.size(1)) {
    const least = scores.topk(topK, -1).values.slice(1, -1);
    scores = keepFrom(scores, least);
  }
  if (topP !== undefined) scores = keepFrom(scores, leastOfNucleus(scores, topP));
  if (minP !== undefined) scores = maskedFill(scores, exp(scores).lt(minP), -Infinity);
  return scores;
}

const keepFrom = (scores: Tensor, least: Tensor): Tensor => maskedFill(scores, scores.lt(least), -Infinity);

/** The lowest score [rows, 1] of the fewest tokens whose chances sum up to `topP`; tokens that tie with it stay too. */
function leastOfNucleus(scores: Tensor, topP: Tensor): Tensor {
  const { values } = scores.sort(-1);
  const dropped = values.softmax(-1).cumsum(-1).le(sub(1, topP)).to("int64").sum([-1], true);
  return values.gather(1, minimum(dropped, scores.size(1) - 1));
}
