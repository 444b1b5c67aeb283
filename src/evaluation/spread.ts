/** @file How vectors lie on the unit sphere (Wang & Isola 2020). */
import { checkPairs, checkVectors, normalise, squaredDistance, type Vectors } from "./vectors.js";

/**
 * Mean squared distance of the two sides of a pair after both are scaled to length 1: E ||a - p||², from 0 (equal) to
 * 4 (opposite).
 *
 * @param anchors n rows of d values, none all zero; row i belongs to row i of `positives`.
 * @throws CraftError as {@link retrieval}.
 */
export function alignmentScore(anchors: Vectors, positives: Vectors): number {
  const size = checkPairs(anchors, positives, "anchors", "positives");
  const [left, right] = [normalise(anchors), normalise(positives)];
  return left.reduce((sum, row, i) => sum + squaredDistance(row, right[i]!), 0) / size;
}

/**
 * log E e^(-2 ||x - y||²) over all pairs of different rows, scaled to length 1: 0 if all are equal, the lower the more
 * evenly they are spread.
 *
 * @param vectors at least 2 rows of d values, none all zero.
 */
export function uniformityScore(vectors: Vectors): number {
  checkVectors(vectors, "vectors");
  const rows = normalise(vectors);
  let sum = 0;
  rows.forEach((row, i) => {
    for (let j = 0; j < i; j++) sum += Math.exp(-2 * squaredDistance(row, rows[j]!));
  });
  return Math.log(sum / ((rows.length * (rows.length - 1)) / 2));
}
