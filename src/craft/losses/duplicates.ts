/**
 * @file Which candidates are no negatives, since they say the same as the pair that they would be contrasted with.
 *
 * The positive of pair j is left out as a negative of pair i if it is the same text as the positive or the anchor of
 * i, or if the anchors of both are the same text, so that either positive is right for it. The rule reads the same
 * from the other side: anchor i is no negative of positive j then.
 */
import { CraftError } from "../../errors.js";
import { cat, eq, logicalOr, unsqueeze, type Tensor } from "../../tensor/index.js";

/** Hashes of the texts of a batch; equal texts have equal hashes. int32 or int64. */
export interface TextHashes {
  /** [n] */
  readonly anchorHash: Tensor;
  /** [n] */
  readonly positiveHash: Tensor;
  /** Those of the additional negatives that are shared by the batch, [m]. */
  readonly negativeHash?: Tensor | undefined;
  /** Those of the negatives of each anchor's own, [n, k]. */
  readonly ownNegativeHash?: Tensor | undefined;
}

/** Bool [n, n + m + k]: true where a candidate says the same as the pair. The diagonal, a pair's own positive, is true. */
export function sameTexts({ anchorHash, positiveHash, negativeHash, ownNegativeHash }: TextHashes): Tensor {
  const equal = (rows: Tensor, columns: Tensor): Tensor => eq(unsqueeze(rows, 1), unsqueeze(columns, 0));
  const repeated = logicalOr(equal(positiveHash, positiveHash), equal(anchorHash, anchorHash));
  const others = logicalOr(repeated, equal(anchorHash, positiveHash));
  const parts = [others];
  if (negativeHash !== undefined)
    parts.push(logicalOr(equal(positiveHash, negativeHash), equal(anchorHash, negativeHash)));
  if (ownNegativeHash !== undefined) {
    const says = (texts: Tensor): Tensor => eq(unsqueeze(texts, 1), ownNegativeHash);
    parts.push(logicalOr(says(positiveHash), says(anchorHash)));
  }
  return parts.length === 1 ? others : cat(parts, 1);
}

/** The hashes of a batch on the host. */
export interface HostHashes {
  readonly anchorHash: Int32Array;
  readonly positiveHash: Int32Array;
  /** Of hard negatives, which every anchor of the batch is contrasted with. */
  readonly negativeHash?: Int32Array | undefined;
}

/** Which anchors of a batch have a negative among the others, or among hard negatives. */
export function anchorsWithNegatives({
  anchorHash,
  positiveHash,
  negativeHash = new Int32Array(),
}: HostHashes): boolean[] {
  return Array.from(
    anchorHash,
    (own, i) =>
      positiveHash.some((_, j) => i !== j && !same(anchorHash, positiveHash, i, j)) ||
      negativeHash.some((hash) => hash !== own && hash !== positiveHash[i]),
  );
}

/** Which positives of a batch have a negative among the anchors. */
export const positivesWithNegatives = ({ anchorHash, positiveHash }: HostHashes): boolean[] =>
  Array.from(positiveHash, (_, j) =>
    anchorHash.some((_, i) => i !== j && !same(anchorHash, positiveHash, i, j)),
  );

/** Whether the positive of pair j says the same as pair i. Not symmetric. */
const same = (anchorHash: Int32Array, positiveHash: Int32Array, i: number, j: number): boolean =>
  positiveHash[i] === positiveHash[j] || anchorHash[i] === positiveHash[j] || anchorHash[i] === anchorHash[j];

/** Whether some pair of a batch has a negative among the others, or among hard negatives. */
export const hasNegatives = (batch: HostHashes): boolean => anchorsWithNegatives(batch).includes(true);

/**
 * Checks {@link hasNegatives} on the host.
 *
 * @param where names the batch, for the message
 * @throws {@link CraftError} if no pair has a negative, so that there is nothing to contrast.
 */
export function requireNegatives(batch: HostHashes, where = "contrastive batch"): void {
  if (hasNegatives(batch)) return;
  const n = batch.anchorHash.length;
  throw new CraftError({
    subject: where,
    reason:
      n < 2
        ? `a batch of ${n} pair${n === 1 ? "" : "s"} has no negatives, so there is nothing to contrast`
        : `none of its ${n} pairs has a negative: they all say the same as one another`,
    remedy: "Use a larger contrastive batch size, or leave out pairs that say the same",
  });
}
