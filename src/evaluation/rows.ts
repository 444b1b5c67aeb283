/** @file Checks of what a model is evaluated on. */
import { CraftError } from "../errors.js";

export function requireBatchSize(batchSize: number): number {
  if (Number.isSafeInteger(batchSize) && batchSize >= 1) return batchSize;
  throw new CraftError({ subject: "batchSize", value: batchSize, reason: "must be an integer from 1 on" });
}

/** @throws CraftError for a row without tokens and an id that the model has no token for. */
export function checkRows(rows: readonly (readonly number[])[], vocabSize: number): void {
  rows.forEach((row, index) => {
    if (row.length === 0) throw new CraftError({ subject: `rows[${index}]`, reason: "has no tokens" });
    const at = row.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (at < 0) return;
    throw new CraftError({
      subject: `rows[${index}][${at}]`,
      value: row[at],
      reason: `is no token of the model, whose ids are 0 to ${vocabSize - 1}`,
      remedy: "Use the tokenizer that belongs to the model.",
    });
  });
}
