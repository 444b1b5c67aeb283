/** @file InfoNCE of vectors: a pure function of tensors. */
import { CraftError } from "../../errors.js";
import {
  any,
  arange,
  bmm,
  cat,
  eq,
  gather,
  logicalAnd,
  logicalNot,
  logicalOr,
  logSoftmax,
  mm,
  mul,
  neg,
  slice,
  squeeze,
  sum,
  transpose,
  unsqueeze,
  where,
  type Tensor,
} from "../../tensor/index.js";
import { batchAccuracy } from "../metrics/ranking.js";
import { sameTexts, type TextHashes } from "./duplicates.js";

/**
 * n anchors [n, d] against candidates that all share, [m, d], and perhaps k of each anchor's own; all vectors have
 * length 1. Candidate i < n is the positive of anchor i. There are c = m + k candidates.
 */
export interface ContrastInput {
  readonly anchor: Tensor;
  readonly candidates: Tensor;
  /** Negatives of each anchor alone, [n, k, d]. They come after the shared candidates. */
  readonly ownNegatives?: Tensor | undefined;
  /** 1 / temperature, a number or a scalar. */
  readonly inverseTemperature: Tensor | number;
  /** Leaves out the candidates that say the same as the pair, see {@link sameTexts}. */
  readonly hashes?: TextHashes | undefined;
  /** Bool [n, c]: false where a candidate is not to be a negative. A pair's own positive counts whatever stands there. */
  readonly allowed?: Tensor | undefined;
  /** Whether positives are also asked for their anchors. */
  readonly symmetric?: boolean;
}

/** Scalars are float32. */
export interface ContrastOutput {
  /** Sum over pairs of the loss. */
  readonly sum: Tensor;
  /** How many pairs the sum is of: those that have a negative. The loss is sum / weight. */
  readonly weight: Tensor;
  /** Share of those pairs whose own positive is strictly nearer to the anchor than any negative. */
  readonly accuracy: Tensor;
  /** Cosines of anchors and candidates, [n, c]. */
  readonly similarities: Tensor;
  /** similarities / temperature, with minus infinity where a candidate is no negative, [n, c]. */
  readonly logits: Tensor;
  /** Bool [n, c]: where a candidate is a negative of the anchor. */
  readonly isNegative: Tensor;
}

/**
 * The sum over pairs of -log softmax(a C^T / temperature)[i, i], and what it is made of.
 *
 * With `symmetric`, the mean of that and of the same for each positive among the n anchors. A pair that has no
 * negative adds nothing, neither to the sum nor to the weight (half of the weight, where it lacks one way only); where
 * none has any, sum / weight is NaN.
 *
 * @throws {@link CraftError} where an anchor has no other candidate than its positive.
 */
export function infoNCE(input: ContrastInput): ContrastOutput {
  const { anchor, candidates, ownNegatives, inverseTemperature, symmetric = false } = input;
  const n = anchor.shape[0]!;
  const count = candidates.shape[0]! + (ownNegatives?.shape[1] ?? 0);
  if (count < 2)
    throw new CraftError({
      subject: "contrastive batch",
      value: n,
      reason: "one pair alone has no negatives, so there is nothing to contrast",
      remedy: "Use a contrastive batch size of 2 or more, or give further negatives",
    });
  const shared = mm(anchor, transpose(candidates, 0, 1));
  const similarities =
    ownNegatives === undefined ? shared : cat([shared, cosinesOf(anchor, ownNegatives)], 1);
  const isOwn = eq(unsqueeze(arange(0, n), 1), unsqueeze(arange(0, count), 0));
  const isNegative = negatives(isOwn, input);
  const scaled = mul(similarities, inverseTemperature);
  const logits = where(logicalOr(isOwn, isNegative), scaled, -Infinity);

  const forward = direction(logits, isNegative);
  const result = {
    accuracy: batchAccuracy(similarities, isNegative),
    similarities,
    logits,
    isNegative,
  };
  if (!symmetric) return { ...forward, ...result };
  const fromPositives = (x: Tensor): Tensor => transpose(slice(x, 1, 0, n), 0, 1).contiguous();
  const backward = direction(fromPositives(logits), fromPositives(isNegative));
  return {
    sum: mul(forward.sum.add(backward.sum), 0.5),
    weight: mul(forward.weight.add(backward.weight), 0.5),
    ...result,
  };
}

/** Products [n, k] of each anchor [n, d] with vectors of its own [n, k, d]. */
const cosinesOf = (anchor: Tensor, own: Tensor): Tensor => squeeze(bmm(own, unsqueeze(anchor, 2)), 2);

function negatives(isOwn: Tensor, { hashes, allowed }: ContrastInput): Tensor {
  let result = logicalNot(isOwn);
  for (const [name, mask] of [
    ["hashes", hashes === undefined ? undefined : logicalNot(sameTexts(hashes))] as const,
    ["allowed", allowed] as const,
  ]) {
    if (mask === undefined) continue;
    if (mask.shape.join() !== isOwn.shape.join())
      throw new TypeError(
        `infoNCE: ${name} must be for [${isOwn.shape.join(", ")}] anchors and candidates, got [${mask.shape.join(", ")}].`,
      );
    result = logicalAnd(result, mask);
  }
  return result;
}

/** Sum of -log softmax(logits)[i, i] and how many rows have a negative; one without adds log(1) = 0 to the sum. */
function direction(logits: Tensor, isNegative: Tensor): { readonly sum: Tensor; readonly weight: Tensor } {
  const own = unsqueeze(arange(0, logits.shape[0]!), 1);
  return {
    sum: neg(sum(gather(logSoftmax(logits, 1), 1, own))),
    weight: sum(any(isNegative, [1]).to(logits.dtype)),
  };
}
