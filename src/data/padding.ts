/** @file Rows of unequal length to arrays of one shape. */
import { CraftError } from "../errors.js";
import { bucketSize, checkBuckets, type BucketOptions } from "./buckets.js";
import { integerColumn, tokenColumn, type TokenIds } from "./tokens.js";

export interface PaddingOptions extends BucketOptions {
  /** The id at padded positions. They are masked out, so any id of the vocabulary will do. Default 0. */
  readonly padTokenId?: number;
  /** The side on which padding is added. Default "right". */
  readonly paddingSide?: "left" | "right";
}

/** Token ids and masks of one shape. */
export interface PaddedTokens {
  /** [rows, length], row by row. */
  readonly inputIds: Int32Array;
  /** [rows, length]: 1 for tokens, 0 for padding. */
  readonly attentionMask: Int32Array;
  readonly shape: readonly [rows: number, length: number];
}

/** The tokens of one row and their mask, not yet padded. */
export interface MaskedTokens {
  readonly ids: TokenIds;
  /** Undefined where every token counts. */
  readonly mask: TokenIds | undefined;
}

/** @throws {@link CraftError} if an option is out of range. */
export function checkPadding(options: PaddingOptions): void {
  checkBuckets(options);
  const { padTokenId = 0, paddingSide = "right" } = options;
  if (!Number.isInteger(padTokenId) || padTokenId < 0) {
    throw new CraftError({
      subject: "padTokenId",
      value: padTokenId,
      reason: "must be a token id, 0 or more",
    });
  }
  if (!["left", "right"].includes(paddingSide)) {
    throw new CraftError({ subject: "paddingSide", value: paddingSide, reason: 'must be "left" or "right"' });
  }
}

/**
 * The token ids of one row with their mask.
 *
 * @throws {@link CraftError} naming the row if it has no token, more than `maxLength`, or a mask without a 1.
 */
export function maskedTokens(
  row: object,
  columns: { readonly ids: string; readonly mask: string },
  where: string,
  maxLength = Infinity,
): MaskedTokens {
  const ids = tokenColumn(row, columns.ids, where);
  const mask = integerColumn(row, columns.mask, where, { length: ids.length });
  if (ids.length > maxLength) {
    throw new CraftError({
      subject: `${where}, column ${columns.ids}`,
      value: `${ids.length} tokens`,
      reason: `is longer than maxLength = ${maxLength}`,
      remedy: "Truncate rows before they are collated, or raise maxLength",
    });
  }
  if (mask !== undefined && !Array.prototype.includes.call(mask, 1)) {
    throw new CraftError({
      subject: `${where}, column ${columns.mask}`,
      reason: "the row is empty: no position is 1",
    });
  }
  return { ids, mask };
}

/** The common length for rows: the longest one's, rounded up to a bucket. */
export function paddedLength(rows: readonly TokenIds[], options: PaddingOptions): number {
  return bucketSize(Math.max(...rows.map((row) => row.length)), options);
}

/** Lays rows out as [rows, length], with `fill` on the padding side. */
export function padRows(
  rows: readonly TokenIds[],
  length: number,
  fill: number,
  side: "left" | "right" = "right",
): Int32Array {
  const padded = new Int32Array(rows.length * length).fill(fill);
  rows.forEach((row, i) => padded.set(row, i * length + (side === "left" ? length - row.length : 0)));
  return padded;
}

/** Pads ids and masks to `length`, or to the longest row's bucket. */
export function padTokens(
  rows: readonly MaskedTokens[],
  options: PaddingOptions,
  length?: number,
): PaddedTokens {
  const ids = rows.map((row) => row.ids);
  const columns = length ?? paddedLength(ids, options);
  const masks = rows.map((row) => row.mask ?? new Int32Array(row.ids.length).fill(1));
  return {
    inputIds: padRows(ids, columns, options.padTokenId ?? 0, options.paddingSide),
    attentionMask: padRows(masks, columns, 0, options.paddingSide),
    shape: [rows.length, columns],
  };
}
