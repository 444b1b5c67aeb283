/** @file The sides of a pair in a row of tokens. */
import { maskedTokens, type MaskedTokens, type PaddingOptions } from "../../data/padding.js";
import { column, missingColumn } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import { sidesOf, type ContrastiveKeys, type SideKeys } from "./keys.js";

/** A pair with its hard negatives, not yet padded. */
export interface ReadPair {
  readonly anchor: MaskedTokens;
  readonly positive: MaskedTokens;
  readonly negatives: readonly MaskedTokens[];
}

/** One list of tokens of a column that may hold several, and its mask. */
export interface TokenList {
  readonly ids: unknown;
  readonly mask: unknown;
  /** Names the list in messages. */
  readonly where: string;
}

/** @throws {@link CraftError} for missing columns (all named), an empty side, and a text longer than `maxLength`. */
export function readPair(
  row: object,
  where: string,
  keys: ContrastiveKeys,
  { maxLength }: Pick<PaddingOptions, "maxLength">,
): ReadPair {
  const { anchor, positive, negative } = sidesOf(keys);
  const missing = [anchor.ids, positive.ids].filter((key) => column(row, key) === undefined);
  if (missing.length > 0)
    throw missingColumn(row, missing, where, "Tokenise both sides, or set the keys option");
  return {
    anchor: maskedTokens(row, anchor, where, maxLength),
    positive: maskedTokens(row, positive, where, maxLength),
    negatives: tokenLists(row, negative, where).map((list) =>
      maskedTokens({ [negative.ids]: list.ids, [negative.mask]: list.mask }, negative, list.where, maxLength),
    ),
  };
}

/**
 * The lists of a column that holds one list of tokens or several; none where it is absent or empty.
 *
 * @throws {@link CraftError} if the masks are not as many as the lists.
 */
export function tokenLists(row: object, keys: SideKeys, where: string): TokenList[] {
  const ids = column(row, keys.ids) ?? undefined;
  const masks = column(row, keys.mask) ?? undefined;
  if (ids === undefined || (Array.isArray(ids) && ids.length === 0)) return [];
  if (!isNested(ids)) return [{ ids, mask: masks, where }];
  if (masks !== undefined && !(isNested(masks) && masks.length === ids.length))
    throw new CraftError({
      subject: `${where}, column ${keys.mask}`,
      reason: `must hold a list for each of the ${ids.length} in ${keys.ids}`,
    });
  return ids.map((list, i) => ({ ids: list, mask: masks?.[i], where: `${where}, negative ${i}` }));
}

const isNested = (value: unknown): value is readonly unknown[] =>
  Array.isArray(value) && value.length > 0 && typeof value[0] === "object";
