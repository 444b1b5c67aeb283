/** @file CRAFT's metrics for use by themselves: of tensors in a traced function, or of arrays. */
import { cat, mm, normalize, Tensor, transpose, unsqueeze, mul, sum, mean } from "../../tensor/index.js";
import { CraftError } from "../../errors.js";
import { centre, cosine, rowsOf, type HostVectors } from "./host.js";
import { batchAccuracy } from "./ranking.js";
import { movedReference, referenceMomentum } from "./representation.js";

/**
 * The share of anchors whose own positive has a higher cosine with them than every other positive and negative. A tie
 * counts as wrong.
 *
 * @param anchor [n, d], n >= 2 or with negatives; need not have length 1
 * @param positive [n, d]; row i belongs to anchor i
 * @param negatives [m, d], more candidates for all
 * @returns from 0 to 1: a scalar for tensors, a number for arrays
 * @throws TypeError for shapes that do not fit; {@link CraftError} where an anchor has nothing to be told from.
 */
export function computeContrastiveAccuracy(anchor: Tensor, positive: Tensor, negatives?: Tensor): Tensor;
export function computeContrastiveAccuracy(
  anchor: HostVectors,
  positive: HostVectors,
  negatives?: HostVectors,
): number;
export function computeContrastiveAccuracy(
  anchor: Tensor | HostVectors,
  positive: Tensor | HostVectors,
  negatives?: Tensor | HostVectors,
): Tensor | number {
  if (anchor instanceof Tensor) {
    if (!(positive instanceof Tensor) || !(negatives === undefined || negatives instanceof Tensor))
      throw mixed();
    requireFit(anchor.shape, positive.shape, negatives?.shape);
    const candidates = negatives === undefined ? positive : cat([positive, negatives]);
    return batchAccuracy(mm(normalize(anchor), transpose(normalize(candidates), 0, 1)));
  }
  if (positive instanceof Tensor || negatives instanceof Tensor) throw mixed();
  const anchors = rowsOf(anchor, "anchor");
  const positives = rowsOf(positive, "positive");
  const others = negatives === undefined ? [] : rowsOf(negatives, "negatives");
  requireFit(sizes(anchors), sizes(positives), negatives === undefined ? undefined : sizes(others));
  const candidates = [...positives, ...others];
  const right = anchors.filter((a, i) => {
    const own = cosine(a, candidates[i]!);
    return candidates.every((candidate, j) => j === i || cosine(a, candidate) < own);
  });
  return right.length / anchors.length;
}

/**
 * Mean cosine of anchors to a reference: near 1 while representations hold still.
 *
 * @param anchor [n, d]; need not have length 1
 * @param reference [d], from {@link updateRepresentationReference}
 * @returns from -1 to 1: a scalar for tensors, a number for arrays
 */
export function computeRepresentationConsistency(anchor: Tensor, reference: Tensor): Tensor;
export function computeRepresentationConsistency(anchor: HostVectors, reference: ArrayLike<number>): number;
export function computeRepresentationConsistency(
  anchor: Tensor | HostVectors,
  reference: Tensor | ArrayLike<number>,
): Tensor | number {
  if (anchor instanceof Tensor) {
    if (!(reference instanceof Tensor)) throw mixed();
    return mean(sum(mul(normalize(anchor), normalize(unsqueeze(reference, 0))), [1]));
  }
  if (reference instanceof Tensor) throw mixed();
  const to = Array.from(reference);
  const cosines = rowsOf(anchor, "anchor").map((row) => cosine(row, to));
  return cosines.reduce((total, value) => total + value, 0) / cosines.length;
}

/**
 * The reference after a batch: `momentum` of the old one and the rest the batch's mean; the first is the mean itself.
 *
 * @param reference [d]; undefined (of tensors zeros) where there is none yet
 * @param anchor [n, d]
 * @param momentum in [0, 1], default 0.9
 * @returns [d]: a tensor for tensors, an array for arrays
 * @throws {@link CraftError} for a momentum out of range.
 */
export function updateRepresentationReference(reference: Tensor, anchor: Tensor, momentum?: number): Tensor;
export function updateRepresentationReference(
  reference: ArrayLike<number> | undefined,
  anchor: HostVectors,
  momentum?: number,
): number[];
export function updateRepresentationReference(
  reference: Tensor | ArrayLike<number> | undefined,
  anchor: Tensor | HostVectors,
  momentum = referenceMomentum,
): Tensor | number[] {
  if (!(momentum >= 0 && momentum <= 1))
    throw new CraftError({ subject: "momentum", value: momentum, reason: "must be a number from 0 to 1" });
  if (anchor instanceof Tensor) {
    if (!(reference instanceof Tensor)) throw mixed();
    return movedReference(reference, anchor, momentum);
  }
  if (reference instanceof Tensor) throw mixed();
  const now = centre(rowsOf(anchor, "anchor"));
  if (reference === undefined) return now;
  if (reference.length !== now.length)
    throw new TypeError(
      `reference must have ${now.length} values as the anchors have, got ${reference.length}.`,
    );
  return now.map((value, d) => momentum * reference[d]! + (1 - momentum) * value);
}

const sizes = (rows: readonly (readonly number[])[]): number[] => [rows.length, rows[0]?.length ?? 0];

function requireFit(
  anchor: readonly number[],
  positive: readonly number[],
  negatives: readonly number[] | undefined,
): void {
  const fits = anchor.length === 2 && anchor.join() === positive.join();
  if (!fits || (negatives !== undefined && negatives[1] !== anchor[1]))
    throw new TypeError(
      `anchor and positive must be [n, d] alike and negatives [m, d], got ${[
        anchor,
        positive,
        negatives ?? [],
      ]
        .map((shape) => `[${shape.join(", ")}]`)
        .join(", ")}.`,
    );
  if (anchor[0]! + (negatives?.[0] ?? 0) >= 2) return;
  throw new CraftError({
    subject: "anchor",
    value: `${anchor[0]} vectors`,
    reason: "there is nothing that the positive could be told from",
    remedy: "Give two pairs or more, or negatives",
  });
}

const mixed = (): TypeError => new TypeError("Give tensors only, or arrays only.");
