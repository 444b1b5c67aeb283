/** @file One vector for a text out of the hidden states of its tokens. */
import { requireOneOf } from "../../data/options.js";
import {
  any,
  arange,
  argmax,
  bmm,
  cumsum,
  div,
  indexSelect,
  reshape,
  sub,
  sum,
  unsqueeze,
  where,
  type Tensor,
} from "../../tensor/index.js";
import type { DType } from "../../torch/dtype.js";

export const poolings = ["last_token", "mean", "weighted_mean", "cls"] as const;

/**
 * Which hidden states stand for a text. Only positions where the mask is 1 count, wherever they are: padding may be on
 * the left, on the right or in between.
 * - "last_token": the last such position;
 * - "mean": their mean;
 * - "weighted_mean": their mean with weights that rise evenly from 0.5 at the first to 1 at the last;
 * - "cls": the first such position.
 */
export type Pooling = (typeof poolings)[number];

/** The dtype that losses compute in. */
export const wideDType = (x: Tensor): DType => (x.dtype === "float64" ? "float64" : "float32");

/**
 * Pools the hidden states of each text.
 *
 * @param hidden [n, length, size], a float
 * @param mask [n, length], 1 (or true) at the positions of the text and 0 elsewhere
 * @returns [n, size] in float32 (float64 for float64). A text without any position gives NaN.
 */
export function pool(hidden: Tensor, mask: Tensor, pooling: Pooling): Tensor {
  requireOneOf("pooling", pooling, poolings);
  const [n, length] = hidden.shape;
  if (hidden.ndim !== 3 || mask.ndim !== 2 || mask.shape[0] !== n || mask.shape[1] !== length)
    throw new TypeError(
      `pool: hidden states [${hidden.shape.join(", ")}] and mask [${mask.shape.join(", ")}] must be [n, length, size] and [n, length].`,
    );
  const real = mask.ne(0);
  if (pooling === "mean" || pooling === "weighted_mean")
    return weightedMean(hidden, tokenWeights(real, pooling, wideDType(hidden)));
  return takeRows(hidden, real, pooling);
}

/** One row of each text: the only ones that are read, and converted. */
function takeRows(hidden: Tensor, real: Tensor, pooling: "last_token" | "cls"): Tensor {
  const [n, length, size] = hidden.shape as readonly [number, number, number];
  const rows = indexSelect(reshape(hidden, [n * length, size]), 0, pooledPlaces(real, pooling)!);
  return poolRows(rows, real);
}

/**
 * Where in a batch the one position of each text lies that a pooling takes, for texts with the mask [n, length]: int64
 * [n], counted through the whole batch. Undefined for poolings that take several. What stands there becomes the pooled
 * vectors by {@link poolRows}; so a model need not compute anything else.
 */
export function pooledPlaces(mask: Tensor, pooling: Pooling): Tensor | undefined {
  if (pooling !== "last_token" && pooling !== "cls") return undefined;
  const [n, length] = mask.shape as readonly [number, number];
  // Grows towards the position that is sought, and is 0 outside the text.
  const order = pooling === "last_token" ? arange(1, length + 1) : sub(length, arange(0, length));
  return argmax(where(mask.ne(0), order, 0), 1).add(arange(0, n).mul(length));
}

/** Pooled vectors [n, size] of hidden states at {@link pooledPlaces}. A text without any position gives NaN. */
export const poolRows = (rows: Tensor, mask: Tensor): Tensor =>
  where(any(mask.ne(0), [1], true), rows.to(wideDType(rows)), NaN);

/** Weights [n, length] of "mean" or "weighted_mean", 0 outside the text. */
function tokenWeights(real: Tensor, pooling: "mean" | "weighted_mean", dtype: DType): Tensor {
  const ones = real.to(dtype);
  if (pooling === "mean") return ones;
  // The tokens of a text are numbered 0 to count - 1; of one token alone the weight does not matter.
  const number = cumsum(ones, 1).sub(1);
  const last = sum(ones, [1], true).sub(1).maximum(1);
  return div(number, last).mul(0.5).add(0.5).mul(ones);
}

/** sum(w x) / sum(w) over the positions, as a matrix product. */
function weightedMean(hidden: Tensor, weights: Tensor): Tensor {
  const [n, , size] = hidden.shape as readonly [number, number, number];
  const shares = div(weights, sum(weights, [1], true));
  return reshape(bmm(unsqueeze(shares, 1), hidden.to(shares.dtype)), [n, size]);
}
