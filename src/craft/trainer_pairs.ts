/** @file The pairs of a CRAFT run, for training and for evaluation. */
import { DataLoader, type Loader } from "../data/loader.js";
import type { RowTokenizer } from "../data/row_tokenizer.js";
import type { CausalLM } from "../models/index.js";
import { datasetOf, requireVocabulary, type Rows } from "../trainers/rows.js";
import type { CraftedArguments } from "./config.js";
import { preparePairs, type ContrastiveColumns, type PairBatch, type PreparedPairs } from "./data/index.js";
import { requireNegatives } from "./losses/index.js";

export interface PairSource {
  readonly args: CraftedArguments;
  readonly columns: ContrastiveColumns | undefined;
  readonly tokenizer: RowTokenizer | undefined;
  readonly model: CausalLM;
}

/**
 * Pairs for a model: prepared, and checked against what the model can read.
 *
 * @throws CraftError naming the pair at fault.
 */
export async function pairsOf(
  rows: Rows,
  name: string,
  { args, columns, tokenizer, model }: PairSource,
): Promise<PreparedPairs> {
  const prepared = await preparePairs(datasetOf(rows, name), tokenizer, {
    ...(args.maxLength === undefined ? {} : { maxLength: args.maxLength }),
    ...(args.onBadRow === undefined ? {} : { onBadRow: args.onBadRow }),
    keys: args.craftContrastiveKeys,
    ...(columns === undefined ? {} : { columns }),
  });
  const { dataset } = prepared;
  for (let i = 0; i < dataset.length; i++) {
    const pair = await dataset.row(i);
    requireVocabulary(pair.input_ids, "of the anchor", dataset.where(i), model.shape);
    requireVocabulary(pair.input_ids_tgt, "of the positive", dataset.where(i), model.shape);
    for (const negative of pair.input_ids_neg ?? [])
      requireVocabulary(negative, "of a negative", dataset.where(i), model.shape);
  }
  return prepared;
}

/**
 * Batches to evaluate on. One pair alone at the end is left out.
 *
 * @throws CraftError for a batch without negatives, now and not in the middle of the training.
 */
export async function evaluationPairs(
  { dataset, negatives }: PreparedPairs,
  name: string,
  batchSize: number,
  collate: (rows: readonly object[], where: readonly string[]) => PairBatch,
  onNotice: (notice: string) => void,
): Promise<Loader<PairBatch>> {
  const { length } = dataset;
  const dropLast = length > 1 && length % batchSize === 1;
  const lacks = negatives.fewest === 0 ? "negative" : "uniformity";
  if (dropLast) onNotice(`${name}: the last pair is left out, since a batch of one has no ${lacks}`);
  const loader = new DataLoader({ dataset, batchSize, collate, shuffle: false, dropLast });
  for await (const batch of loader)
    requireNegatives({ ...batch, negativeHash: batch.negative?.hash }, `batch of ${name}`);
  return loader;
}
