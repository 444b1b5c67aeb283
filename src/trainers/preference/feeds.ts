/** @file Batches of pairs as feeds, and what programs make of them. */
import type { PredictedTokens, PreferenceBatch } from "../../data/preference_collator.js";
import type { CausalLM } from "../../models/causal_lm.js";
import { tokenLogProbs, type TokenLogProbs } from "../../nn/token_log_probs.js";
import { HostTensor, scatterAdd, slice, withoutDropout, zeros, type Tensor } from "../../tensor/index.js";
import type { Feeds, TracedFeeds } from "../../training/objective.js";

const ints = (data: Int32Array, shape: readonly number[] = [data.length]): HostTensor =>
  new HostTensor(data, shape, "int64");
export const floats = (data: Float32Array): HostTensor => new HostTensor(data, [data.length], "float32");

/** The tokens of a batch, as a model reads them. */
export function textFeeds(batch: PreferenceBatch): Feeds {
  const { inputIds, positionIds, documents, branches, shape } = batch;
  return {
    inputIds: ints(inputIds, shape),
    ...(positionIds && { positionIds: ints(positionIds, shape) }),
    ...(documents && { documents: ints(documents, shape) }),
    ...(branches && { branches: ints(branches, shape) }),
  };
}

/** What is predicted, under names that begin with `prefix`. */
export const predictedFeeds = (prefix: string, { index, target, owner, weight }: PredictedTokens): Feeds => ({
  [`${prefix}Index`]: ints(index),
  [`${prefix}Target`]: ints(target),
  [`${prefix}Owner`]: ints(owner),
  [`${prefix}Weight`]: floats(weight),
});

/** Final hidden states of a batch at some places. Traced. */
export function hiddenAt(model: CausalLM, feeds: TracedFeeds, at: Tensor): Tensor {
  const { inputIds, positionIds: positions, documents, branches } = feeds;
  return model.hiddenStates(inputIds!, { positions, documents, branches, at });
}

/** What a model says of tokens that are predicted from hidden states [n, size]. Traced. */
export const predictionsOf = (model: CausalLM, hidden: Tensor, labels: Tensor): TokenLogProbs =>
  tokenLogProbs({
    hidden: hidden.to(model.dtype),
    weight: model.headWeight(),
    softcap: model.logitSoftcap,
    labels,
  });

/** Traces `body` without dropout, if that is wanted. */
export const dropping = <T>(disabled: boolean, body: () => T): T =>
  disabled ? withoutDropout(body) : body();

/** Sums of `values` [n] over the tokens of each text: [texts]. */
export const perText = (values: Tensor, owner: Tensor, texts: number): Tensor =>
  scatterAdd(zeros([texts], values.dtype), 0, owner, values);

/** Numbers of texts [2 pairs], by side. */
export interface Sides {
  readonly chosen: Tensor;
  readonly rejected: Tensor;
}

export function sides(values: Tensor): Sides {
  const pairs = values.numel / 2;
  return { chosen: slice(values, 0, 0, pairs), rejected: slice(values, 0, pairs, 2 * pairs) };
}
