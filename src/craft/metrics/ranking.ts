/** @file How well anchors find their own positive, from a matrix of similarities. Traced functions of tensors. */
import {
  any,
  arange,
  div,
  eq,
  ge,
  gather,
  logicalAnd,
  logicalNot,
  mul,
  reciprocal,
  sum,
  unsqueeze,
  type Tensor,
} from "../../tensor/index.js";

/**
 * The share of anchors whose own positive is strictly more similar than every negative: a tie counts as wrong, so
 * that vectors which have collapsed into one score 0. Anchors without a negative are left out.
 *
 * @param similarities [n, c] of n anchors and c >= n candidates; candidate i belongs to anchor i
 * @param isNegative bool [n, c]; default: every candidate but the own
 * @returns a float32 scalar from 0 to 1; NaN where no anchor has a negative.
 */
export function batchAccuracy(similarities: Tensor, isNegative = notOwn(similarities)): Tensor {
  return meanOverCounted(eq(rivals(similarities, isNegative), 0).to("float32"), isNegative);
}

/**
 * The mean over anchors of 1 / rank of the own positive among it and the negatives, by similarity. Ties are ranked
 * before it. Arguments and result are those of {@link batchAccuracy}.
 */
export function batchReciprocalRank(similarities: Tensor, isNegative = notOwn(similarities)): Tensor {
  return meanOverCounted(reciprocal(rivals(similarities, isNegative).to("float32").add(1)), isNegative);
}

const notOwn = ({ shape }: Tensor): Tensor =>
  logicalNot(eq(unsqueeze(arange(0, shape[0]!), 1), unsqueeze(arange(0, shape[1]!), 0)));

/** How many negatives are at least as similar as the own positive, int64 [n]. */
function rivals(similarities: Tensor, isNegative: Tensor): Tensor {
  const own = gather(similarities, 1, unsqueeze(arange(0, similarities.shape[0]!), 1));
  return sum(logicalAnd(ge(similarities, own), isNegative), [1]);
}

function meanOverCounted(values: Tensor, isNegative: Tensor): Tensor {
  const counted = any(isNegative, [1]).to("float32");
  return div(sum(mul(values, counted)), sum(counted));
}
