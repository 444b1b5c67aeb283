import type { LanguageModelingBatch } from "../../data/collator.js";
import { labelPositions } from "../../data/label_positions.js";
import type { CausalLM } from "../../models/causal_lm.js";
import { tokenLoss } from "../../nn/token_loss.js";
import { HostTensor, sum, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, Objective, TracedFeeds } from "../../training/objective.js";

const int64 = (data: Int32Array, shape: readonly number[]): HostTensor =>
  new HostTensor(data, shape, "int64");

/**
 * What a model reads of a padded batch. The mask is only fed where padding stands before a token, and documents with
 * their positions where rows hold several.
 */
export function tokenFeeds(
  batch: Pick<LanguageModelingBatch, "inputIds" | "attentionMask" | "documents" | "shape">,
): Feeds {
  const { inputIds, attentionMask, documents, shape } = batch;
  const [, length] = shape;
  return {
    inputIds: int64(inputIds, shape),
    ...(hasPaddingBefore(attentionMask, length) ? { attentionMask: int64(attentionMask, shape) } : {}),
    ...(documents && {
      documents: int64(documents, shape),
      positionIds: int64(positionsWithin(documents, length), shape),
    }),
  };
}

/** Whether padding stands before a token in any row, where causality does not hide it. */
export const hasPaddingBefore = (attentionMask: Int32Array, length: number): boolean =>
  attentionMask.some((m, i) => m === 0 && (i + 1) % length !== 0 && attentionMask[i + 1] === 1);

/** 0, 1, 2 … from the beginning of each document and of each row. */
export function positionsWithin(documents: Int32Array, length: number): Int32Array {
  const positions = new Int32Array(documents.length);
  for (let at = 0; at < documents.length; at++)
    positions[at] = at % length > 0 && documents[at] === documents[at - 1] ? positions[at - 1]! + 1 : 0;
  return positions;
}

/** Where labels are predicted from, as feeds. */
export function labelFeeds(batch: LanguageModelingBatch): Feeds {
  const { index, target, weight } = labelPositions(batch);
  return {
    positions: int64(index, [index.length]),
    labels: int64(target, [target.length]),
    weights: new HostTensor(weight, [weight.length], "float32"),
  };
}

/**
 * The token loss for {@link labelFeeds}: negative log-likelihood summed over labels.
 *
 * @param hidden those of all positions, [batch, length, size], or of the labels' alone, [n, size]
 * @param smoothing share of each label that is spread over the vocabulary
 */
export function tokenTerm(
  model: CausalLM,
  hidden: Tensor,
  { positions, labels, weights }: TracedFeeds,
  smoothing = 0,
): LossTerm {
  const loss = tokenLoss({
    hidden: hidden.to(model.dtype),
    weight: model.headWeight(),
    softcap: model.logitSoftcap,
    positions: hidden.ndim === 2 ? undefined : positions,
    labels: labels!,
    weights: weights!,
    smoothing,
  });
  return { sum: loss, weight: sum(weights!) };
}

export const countTokens = (mask: Int32Array): number => mask.reduce((a, b) => a + b, 0);

/** Next-token prediction on the positions that carry a label; weight is the number of labels. */
export class SFTObjective implements Objective<LanguageModelingBatch> {
  readonly name = "sft";
  readonly labelSmoothing: number;

  /** @param options `labelSmoothing`: share of each label that is spread over the vocabulary, in [0, 1) */
  constructor({ labelSmoothing = 0 }: { readonly labelSmoothing?: number } = {}) {
    this.labelSmoothing = labelSmoothing;
  }

  feeds(batch: LanguageModelingBatch): Feeds {
    return { ...tokenFeeds(batch), ...labelFeeds(batch) };
  }

  loss(model: CausalLM, feeds: TracedFeeds): { readonly sft: LossTerm } {
    const { inputIds, attentionMask, documents, positionIds, positions: at } = feeds;
    const options = { attentionMask, documents, positions: positionIds, at };
    return { sft: tokenTerm(model, model.hiddenStates(inputIds!, options), feeds, this.labelSmoothing) };
  }

  weights(batch: LanguageModelingBatch): { readonly sft: number } {
    return { sft: labelPositions(batch).count };
  }

  tokens(batch: LanguageModelingBatch): number {
    return countTokens(batch.attentionMask);
  }
}
