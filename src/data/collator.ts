/** @file Tokenised rows to a batch for language modelling. */
import { CraftError } from "../errors.js";
import { refuseUnknown } from "./options.js";
import {
  checkPadding,
  maskedTokens,
  paddedLength,
  padRows,
  padTokens,
  type MaskedTokens,
  type PaddedTokens,
  type PaddingOptions,
} from "./padding.js";
import { ignoredLabel, integerColumn } from "./tokens.js";

/** A batch for a causal language model. All arrays are [rows, length], row by row. */
export interface LanguageModelingBatch extends PaddedTokens {
  /** The token at each position where it is to be predicted, else -100. Not shifted: see {@link labelPositions}. */
  readonly labels: Int32Array;
  /**
   * The number of the document that each position belongs to, -1 at padding: tokens see those of their own document
   * only. Present where a row holds several, packed or padding-free.
   */
  readonly documents?: Int32Array;
}

export interface LanguageModelingOptions extends PaddingOptions {
  /** Lay all rows of a batch into one, each a document of its own, in the place of padding. Default false. */
  readonly paddingFree?: boolean;
}

/** The names of all padding options, for refusing others. */
export const paddingOptionNames = [
  "padTokenId",
  "paddingSide",
  "padToMultipleOf",
  "buckets",
  "maxLength",
] as const;

/** A row with its labels. */
interface LabelledRow extends MaskedTokens {
  readonly labels: Int32Array;
  /** The lengths of its documents; undefined where it is one. */
  readonly documents: readonly number[] | undefined;
}

/**
 * Pads rows to the longest one's length, rounded up to a bucket (see {@link bucketSize}). A row without
 * `attention_mask` counts whole; a row without `labels` is to be predicted whole. Masked positions carry no label. A row
 * with `seq_lengths` is packed: its documents have nothing to do with each other.
 *
 * @example
 * const collator = new DataCollatorForLanguageModeling({ padTokenId: tokenizer.padTokenId });
 * const batch = collator.collate([{ input_ids: [1, 5, 7] }, { input_ids: [1, 9] }]);
 */
export class DataCollatorForLanguageModeling {
  private readonly padding: PaddingOptions;
  private readonly paddingFree: boolean;

  constructor(options: LanguageModelingOptions = {}) {
    refuseUnknown("DataCollatorForLanguageModeling", options, [...paddingOptionNames, "paddingFree"]);
    const { paddingFree = false, ...padding } = options;
    checkPadding(padding);
    this.padding = padding;
    this.paddingFree = paddingFree;
  }

  /**
   * @param rows - at least one, with the columns of a `TokenisedRow`.
   * @param where - how to name each row in an error.
   * @throws {@link CraftError} for a row without tokens or longer than `maxLength`, and for columns of unequal length.
   */
  readonly collate = (rows: readonly object[], where: readonly string[] = []): LanguageModelingBatch => {
    if (rows.length === 0)
      throw new CraftError({ subject: "rows", reason: "a batch needs at least one row" });
    const read = rows.map((row, i) => labelledRow(row, where[i] ?? `batch, row ${i}`, this.padding));
    if (!this.paddingFree) return padded(read, this.padding);
    // All rows together may be longer than any one of them may.
    const { maxLength: _maxLength, ...padding } = this.padding;
    return padded([flattened(read)], padding);
  };
}

function labelledRow(row: object, where: string, { maxLength }: PaddingOptions): LabelledRow {
  const { ids, mask } = maskedTokens(row, { ids: "input_ids", mask: "attention_mask" }, where, maxLength);
  const { length } = ids;
  const given = integerColumn(row, "labels", where, { least: ignoredLabel, length }) ?? ids;
  const labels = Int32Array.from({ length }, (_, t) => (mask?.[t] === 0 ? ignoredLabel : given[t]!));
  const sizes = integerColumn(row, "seq_lengths", where, { least: 1 });
  if (sizes === undefined) return { ids, mask, labels, documents: undefined };
  const documents = Array.from(sizes);
  const total = documents.reduce((a, b) => a + b, 0);
  if (total !== length) {
    throw new CraftError({
      subject: `${where}, column seq_lengths`,
      value: documents,
      reason: `says that there are ${total} tokens, and input_ids has ${length}`,
    });
  }
  return { ids, mask, labels, documents };
}

/** All rows as one. */
function flattened(rows: readonly LabelledRow[]): LabelledRow {
  const masked = rows.some(({ mask }) => mask !== undefined);
  const joined = (column: (row: LabelledRow) => ArrayLike<number>): Int32Array =>
    Int32Array.from(rows.flatMap((row) => Array.from(column(row))));
  return {
    ids: joined(({ ids }) => ids),
    mask: masked ? joined(({ ids, mask }) => mask ?? new Int32Array(ids.length).fill(1)) : undefined,
    labels: joined(({ labels }) => labels),
    documents: rows.flatMap(({ ids, documents }) => documents ?? [ids.length]),
  };
}

function padded(rows: readonly LabelledRow[], padding: PaddingOptions): LanguageModelingBatch {
  const length = paddedLength(
    rows.map(({ ids }) => ids),
    padding,
  );
  const laid = (column: (row: LabelledRow) => ArrayLike<number>, fill: number): Int32Array =>
    padRows(rows.map(column), length, fill, padding.paddingSide);
  const packed = rows.some(({ documents }) => documents !== undefined);
  return {
    ...padTokens(rows, padding, length),
    labels: laid(({ labels }) => labels, ignoredLabel),
    ...(packed && { documents: laid(documentNumbers, -1) }),
  };
}

const documentNumbers = ({ ids, documents = [ids.length] }: LabelledRow): number[] =>
  documents.flatMap((size, number) => new Array<number>(size).fill(number));
