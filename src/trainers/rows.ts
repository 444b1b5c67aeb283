/** @file Rows for a model: prepared, and checked against what the model can read. */
import { Dataset } from "../data/dataset.js";
import { describeNotes, prepareDataset, type Prepare, type Prepared } from "../data/prepared.js";
import type { RowTokenizer } from "../data/row_tokenizer.js";
import { sftPreparer, type SftRowOptions } from "../data/sft_rows.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import type { TokenIds } from "../data/tokens.js";
import { CraftError } from "../errors.js";
import type { ModelShape } from "../models/causal_lm.js";

/** Rows as a dataset or an array. */
export type Rows<Row extends object = object> = Dataset<Row> | readonly Row[];

/** Rows as a dataset; those in memory go by `name` in errors. */
export const datasetOf = <Row extends object>(rows: Rows<Row>, name: string): Dataset<Row> =>
  rows instanceof Dataset ? rows : Dataset.fromArray(rows, { name });

/** What rows must fit. */
export type RowLimits = Pick<ModelShape, "vocabSize" | "maxLength">;

/** @throws CraftError naming the first token that the model has no embedding for. */
export function requireVocabulary(
  ids: TokenIds,
  column: string,
  where: string,
  { vocabSize }: RowLimits,
): void {
  const place = Array.prototype.findIndex.call(ids, (id) => (id as number) >= vocabSize);
  if (place === -1) return;
  throw new CraftError({
    subject: `${where}, column ${column}, place ${place}`,
    value: ids[place],
    reason: `the model's vocabulary has the tokens 0 to ${vocabSize - 1}`,
    remedy: "Use the tokenizer that came with the model, or prepare the tokens with it",
  });
}

/** What is to be told of prepared rows: what was cut, left out, or is longer than the model was trained for. */
export function describeRows<R>(prepared: Prepared<R>, limits: RowLimits): string[] {
  const long = describeLongRows(prepared, limits);
  return [...describeNotes(prepared.report.notes), ...(long === undefined ? [] : [long])];
}

/** A sentence about rows that are longer than the sequences that the model's positions were trained for, if any are. */
function describeLongRows<R>(
  { dataset, lengths }: Pick<Prepared<R>, "dataset" | "lengths">,
  { maxLength }: RowLimits,
): string | undefined {
  const first = lengths.findIndex((length) => length > maxLength);
  if (first === -1) return undefined;
  const count = lengths.reduce((sum, length) => sum + (length > maxLength ? 1 : 0), 0);
  return (
    `${count} ${count === 1 ? "row is" : "rows are"} longer than the ${maxLength} positions that the model was ` +
    `trained for (first: ${dataset.where(first)}); a lower max_length cuts them`
  );
}

/** As prepareSftDataset, with each row checked against the model. */
export async function prepareRowsFor(
  limits: RowLimits,
  raw: Dataset<object>,
  tokenizer: RowTokenizer | undefined,
  options: SftRowOptions,
): Promise<Prepared<PreparedRow>> {
  const prepare = sftPreparer(tokenizer, options);
  const checked: Prepare<PreparedRow> = (row, where, notes) => {
    const prepared = prepare(row, where, notes);
    if (prepared === undefined) return undefined;
    requireVocabulary(prepared.input_ids, "input_ids", where, limits);
    requireVocabulary(prepared.labels, "labels", where, limits);
    return prepared;
  };
  return prepareDataset(raw, checked, { ...options, size: (row) => row.input_ids.length });
}
