/** @file Tokenised rows to a batch for language modelling. */
import { CraftError } from "../errors.js";
import { refuseUnknown } from "./options.js";
import {
  checkPadding,
  maskedTokens,
  padRows,
  padTokens,
  type PaddedTokens,
  type PaddingOptions,
} from "./padding.js";
import { ignoredLabel, integerColumn } from "./tokens.js";

/** A batch for a causal language model. All arrays are [rows, length], row by row. */
export interface LanguageModelingBatch extends PaddedTokens {
  /** The token at each position where it is to be predicted, else -100. Not shifted: see {@link labelPositions}. */
  readonly labels: Int32Array;
}

/** The names of all padding options, for refusing others. */
export const paddingOptionNames = [
  "padTokenId",
  "paddingSide",
  "padToMultipleOf",
  "buckets",
  "maxLength",
] as const;

/**
 * Pads rows to the longest one's length, rounded up to a bucket (see {@link bucketSize}). A row without
 * `attention_mask` counts whole; a row without `labels` is to be predicted whole. Masked positions carry no label.
 *
 * @example
 * const collator = new DataCollatorForLanguageModeling({ padTokenId: tokenizer.padTokenId });
 * const batch = collator.collate([{ input_ids: [1, 5, 7] }, { input_ids: [1, 9] }]);
 */
export class DataCollatorForLanguageModeling {
  private readonly options: PaddingOptions;

  constructor(options: PaddingOptions = {}) {
    refuseUnknown("DataCollatorForLanguageModeling", options, paddingOptionNames);
    checkPadding(options);
    this.options = options;
  }

  /**
   * @param rows - at least one, with the columns of a `TokenisedRow`.
   * @param where - how to name each row in an error.
   * @throws {@link CraftError} for a row without tokens or longer than `maxLength`, and for columns of unequal length.
   */
  readonly collate = (rows: readonly object[], where: readonly string[] = []): LanguageModelingBatch => {
    if (rows.length === 0)
      throw new CraftError({ subject: "rows", reason: "a batch needs at least one row" });
    const names = rows.map((_, i) => where[i] ?? `batch, row ${i}`);
    const columns = { ids: "input_ids", mask: "attention_mask" };
    const tokens = rows.map((row, i) => maskedTokens(row, columns, names[i]!, this.options.maxLength));
    const labels = rows.map((row, i) => {
      const { ids, mask } = tokens[i]!;
      const given =
        integerColumn(row, "labels", names[i]!, { least: ignoredLabel, length: ids.length }) ?? ids;
      return Int32Array.from({ length: ids.length }, (_, t) => (mask?.[t] === 0 ? ignoredLabel : given[t]!));
    });
    const padded = padTokens(tokens, this.options);
    return { ...padded, labels: padRows(labels, padded.shape[1], ignoredLabel, this.options.paddingSide) };
  };
}
