/** @file How vectors lie on the unit sphere. Traced functions of tensors. */
import {
  add,
  arange,
  eq,
  exp,
  log,
  lt,
  mean,
  mm,
  mul,
  normalize,
  sub,
  sum,
  transpose,
  unsqueeze,
  where,
  type Tensor,
} from "../../tensor/index.js";

/**
 * Mean squared distance of the two sides of a pair: E ||a - p||^2, from 0 (equal) to 4 (opposite)
 * (Wang & Isola 2020, with exponent 2).
 *
 * @param anchor unit vectors [n, d]
 * @param positive unit vectors [n, d]
 * @returns a scalar
 */
export function alignment(anchor: Tensor, positive: Tensor): Tensor {
  const difference = sub(anchor, positive);
  return mean(sum(mul(difference, difference), [-1]));
}

/**
 * log E e^(-2 ||x - y||^2) over all pairs of different rows: 0 if all vectors are equal, the lower the more evenly
 * they are spread (Wang & Isola 2020, with t = 2).
 *
 * @param vectors unit vectors [n, d], n >= 2
 * @returns a scalar
 */
export function uniformity(vectors: Tensor): Tensor {
  const n = vectors.shape[0]!;
  if (n < 2) throw new TypeError("uniformity: two vectors are needed to have a distance.");
  const squares = sum(mul(vectors, vectors), [1]);
  const distances = sub(
    add(unsqueeze(squares, 1), unsqueeze(squares, 0)),
    mul(mm(vectors, transpose(vectors, 0, 1)), 2),
  );
  const upper = lt(unsqueeze(arange(0, n), 1), unsqueeze(arange(0, n), 0));
  const kernel = where(upper, exp(mul(distances.maximum(0), -2)), 0);
  return log(mul(sum(kernel), 2 / (n * (n - 1))));
}

/** How much of the old reference stays at each update. */
export const referenceMomentum = 0.9;

/** No reference yet: what {@link representationConsistency} is given first. Such a vector is never the mean of a batch in training. */
const isUnset = (reference: Tensor): Tensor => eq(sum(mul(reference, reference)), 0);

/**
 * The reference after a batch: `momentum` of the old one and the rest the batch's mean; the first is the mean itself.
 *
 * @param reference [d]; zeros where there is none yet
 * @param anchor [n, d]
 * @param momentum in [0, 1]
 */
export function movedReference(reference: Tensor, anchor: Tensor, momentum = referenceMomentum): Tensor {
  const centre = mean(anchor, [0]);
  const moved = add(mul(reference, momentum), mul(centre, 1 - momentum));
  return where(isUnset(reference), centre, moved);
}

/**
 * Mean cosine of the anchors to where anchors were so far: near 1 while representations hold still, and while they
 * have all become one.
 *
 * @param anchor [n, d]
 * @param reference [d], from {@link movedReference} of the batches before; zeros where there is none,
 * and then the batch's own mean stands for it, so that the first value is a number too.
 * @returns the scalar `consistency`, and the `reference` for the next batch.
 */
export function representationConsistency(
  anchor: Tensor,
  reference: Tensor,
): { readonly consistency: Tensor; readonly reference: Tensor } {
  const against = where(isUnset(reference), mean(anchor, [0]), reference);
  const cosines = mul(normalize(anchor), normalize(unsqueeze(against, 0)));
  return {
    consistency: mean(sum(cosines, [1])),
    reference: movedReference(reference, anchor),
  };
}
