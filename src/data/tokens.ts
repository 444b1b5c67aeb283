/** @file Columns of token ids: what a row may hold, and the checks. */
import { CraftError } from "../errors.js";

/** Token ids, masks or labels of one row, as JSON or a tokenizer gives them. */
export type TokenIds = ArrayLike<number>;

/** A label that carries no loss, as in PyTorch and transformers. */
export const ignoredLabel = -100;

/** A row that needs no tokenizer any more. The columns are those of Python's data sets. */
export interface TokenisedRow {
  readonly input_ids: TokenIds;
  /** The token to predict at each position, or -100 for none; the model shifts by one. */
  readonly labels?: TokenIds;
  /** 1 for tokens, 0 for padding. */
  readonly attention_mask?: TokenIds;
  /** 1 for tokens that the assistant said. */
  readonly assistant_masks?: TokenIds;
  /** The lengths of the documents that the row is packed of; without it, the row is one. */
  readonly seq_lengths?: TokenIds;
}

/** The value of a column, undefined where the row has no such column. */
export function column(row: object, name: string): unknown {
  return Object.hasOwn(row, name) ? (Reflect.get(row, name) as unknown) : undefined;
}

/**
 * A column of integers, all at least `least`; undefined where the row has none (or null).
 *
 * @throws {@link CraftError} naming row and column if it holds something else, or not `length` values.
 */
export function integerColumn(
  row: object,
  name: string,
  where: string,
  { least = 0, length }: { readonly least?: number; readonly length?: number } = {},
): TokenIds | undefined {
  const value = column(row, name);
  if (value === undefined || value === null) return undefined;
  const subject = `${where}, column ${name}`;
  if (!isNumberList(value)) throw new CraftError({ subject, value, reason: "must be a list of integers" });
  for (let i = 0; i < value.length; i++) {
    const item: unknown = value[i];
    if (typeof item !== "number" || !Number.isInteger(item) || item < least || item > 0x7fffffff) {
      throw new CraftError({
        subject: `${subject}, place ${i}`,
        value: item,
        reason: `must be an integer from ${least} to 2^31 - 1`,
      });
    }
  }
  if (length !== undefined && value.length !== length) {
    throw new CraftError({
      subject,
      value: `${value.length} values`,
      reason: `must have as many values as input_ids, which has ${length}`,
    });
  }
  return value;
}

/**
 * Token ids of a column that must be there and hold at least one.
 *
 * @throws {@link CraftError} naming the row, the column and the columns that are there.
 */
export function tokenColumn(row: object, name: string, where: string): TokenIds {
  const ids = integerColumn(row, name, where);
  if (ids === undefined) throw missingColumn(row, [name], where);
  if (ids.length === 0)
    throw new CraftError({
      subject: `${where}, column ${name}`,
      reason: "the row is empty: it has no token",
    });
  return ids;
}

/** The error for columns that a row should have. Names are listed in alphabetical order. */
export function missingColumn(
  row: object,
  names: readonly string[],
  where: string,
  remedy?: string,
): CraftError {
  const missing = [...names].sort().map((name) => `"${name}"`);
  const present = Object.keys(row).map((name) => `"${name}"`);
  return new CraftError({
    subject: where,
    reason: `has no column ${missing.join(", ")}; its columns are ${present.length > 0 ? present.join(", ") : "none"}`,
    ...(remedy !== undefined && { remedy }),
  });
}

function isNumberList(value: unknown): value is ArrayLike<number> {
  if (Array.isArray(value)) return true;
  return (
    ArrayBuffer.isView(value) &&
    "length" in value &&
    !(value instanceof BigInt64Array || value instanceof BigUint64Array)
  );
}
