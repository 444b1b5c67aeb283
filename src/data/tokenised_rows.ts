/** @file Rows that come with token ids: their masks become labels, and padding that they carry is taken off. */
import type { PreparationNotes } from "./prepared.js";
import { ignoredLabel, integerColumn, missingColumn } from "./tokens.js";

/** A row for training. All columns have one length. */
export interface PreparedRow {
  readonly input_ids: Int32Array;
  /** The token at each place that is to be predicted, else -100. */
  readonly labels: Int32Array;
  /** Only where some token between others is masked. */
  readonly attention_mask?: Int32Array;
  /** 1 for each token that the assistant said, where that is known. */
  readonly assistant_masks?: Int32Array;
  /** The lengths of the documents that were packed into the row, in their order. */
  readonly seq_lengths?: Int32Array;
}

/**
 * Reads a row with `input_ids`. Labels are the column `labels` as it is; without one, the tokens where
 * `completion_mask` (unless `completionOnlyLoss` is false) and `assistant_masks` are 1; without those, all. Padding at
 * either end, where `attention_mask` is 0, is taken off; labels on masked tokens are ignored and noted.
 *
 * @throws {@link CraftError} if there are no labels and no mask for the loss that is asked for.
 */
export function tokenisedRow(
  row: object,
  where: string,
  notes: PreparationNotes,
  options: { readonly completionOnlyLoss?: boolean; readonly assistantOnlyLoss?: boolean } = {},
): PreparedRow | undefined {
  const ids = integerColumn(row, "input_ids", where) ?? [];
  const { length } = ids;
  const given = integerColumn(row, "labels", where, { least: ignoredLabel, length });
  const attention = integerColumn(row, "attention_mask", where, { length });
  const completion = integerColumn(row, "completion_mask", where, { length });
  const assistant = integerColumn(row, "assistant_masks", where, { length });
  const wanted = [
    ...(options.completionOnlyLoss === true && completion === undefined ? ["completion_mask"] : []),
    ...(options.assistantOnlyLoss === true && assistant === undefined ? ["assistant_masks"] : []),
  ];
  if (given === undefined && wanted.length > 0) throw missingColumn(row, wanted, where);
  const masks = [options.completionOnlyLoss === false ? undefined : completion, assistant];
  const labels = Int32Array.from(
    { length },
    (_, place) => given?.[place] ?? (masks.every((mask) => mask?.[place] !== 0) ? ids[place]! : ignoredLabel),
  );
  if (attention === undefined) {
    return {
      input_ids: Int32Array.from(ids),
      labels,
      ...(assistant && { assistant_masks: Int32Array.from(assistant) }),
    };
  }
  const mask = Int32Array.from(attention);
  const [from, to] = [mask.indexOf(1), mask.lastIndexOf(1) + 1];
  if (from === -1) return notes.bad("dropped_empty", where, "the row is empty: attention_mask is nowhere 1");
  let ignored = false;
  labels.forEach((label, place) => {
    if (mask[place] === 1 || label === ignoredLabel) return;
    ignored ||= given !== undefined;
    labels[place] = ignoredLabel;
  });
  if (ignored) notes.add("label_on_padding", where);
  const whole = mask.subarray(from, to).every((value) => value === 1);
  return {
    input_ids: Int32Array.from(ids).slice(from, to),
    labels: labels.slice(from, to),
    ...(!whole && { attention_mask: mask.slice(from, to) }),
    ...(assistant && { assistant_masks: Int32Array.from(assistant).slice(from, to) }),
  };
}
