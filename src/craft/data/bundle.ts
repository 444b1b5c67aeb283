/** @file The data of a CRAFT run: SFT rows, and where the contrastive pairs come from. */
import { Dataset } from "../../data/dataset.js";
import { requireRows } from "../../data/loader.js";
import { refuseUnknown, requireOneOf } from "../../data/options.js";
import type { Row } from "../../data/source.js";
import { CraftError } from "../../errors.js";

export const craftStrategies = ["paired_dataset", "self_align"] as const;

/**
 * - "paired_dataset": pairs (anchor, positive) from a dataset of their own.
 * - "self_align": an SFT row is its own pair; one forward gives both losses.
 */
export type CraftStrategy = (typeof craftStrategies)[number];

/** What {@link makeCraftDatasets} gives. */
export type CraftDatasetBundle<R extends object = Row, P extends object = Row> =
  | { readonly strategy: "paired_dataset"; readonly sft: Dataset<R>; readonly contrastive: Dataset<P> }
  | { readonly strategy: "self_align"; readonly sft: Dataset<R> };

export interface CraftDatasetOptions<P extends object = Row> {
  /** Rows that hold two sides each; for "paired_dataset" only. */
  readonly contrastiveDataset?: Dataset<P> | readonly P[];
  /** By default "paired_dataset" with a contrastive dataset, else "self_align". */
  readonly strategy?: CraftStrategy;
}

/**
 * Puts together what a CRAFT trainer learns from.
 *
 * @throws {@link CraftError} for "paired_dataset" without a contrastive dataset, "self_align" with one, an unknown
 * strategy and an empty dataset.
 *
 * @example
 * const bundle = makeCraftDatasets(sftDataset, { contrastiveDataset, strategy: "paired_dataset" });
 */
export function makeCraftDatasets<R extends object, P extends object = Row>(
  sftDataset: Dataset<R> | readonly R[],
  options: CraftDatasetOptions<P> = {},
): CraftDatasetBundle<R, P> {
  refuseUnknown("makeCraftDatasets", options, ["contrastiveDataset", "strategy"]);
  const sft = asDataset(sftDataset, "sftDataset");
  const { contrastiveDataset } = options;
  const fallback = contrastiveDataset === undefined ? "self_align" : "paired_dataset";
  const strategy = requireOneOf("strategy", options.strategy ?? fallback, craftStrategies);
  if (strategy === "self_align") {
    if (contrastiveDataset === undefined) return { strategy, sft };
    throw new CraftError({
      subject: "contrastiveDataset",
      reason: 'the strategy "self_align" makes its pairs from the SFT rows',
      remedy: 'Leave it out, or choose "paired_dataset"',
    });
  }
  if (contrastiveDataset === undefined) {
    throw new CraftError({
      subject: "contrastiveDataset",
      reason: 'the strategy "paired_dataset" needs a dataset of pairs',
      remedy: 'Give one, or choose "self_align"',
    });
  }
  return { strategy, sft, contrastive: asDataset(contrastiveDataset, "contrastiveDataset") };
}

/**
 * Reads every row that the contrastive loss will, so that a row that cannot be collated is found before training.
 *
 * @param check - the check of the run's collator, {@link CRAFTCollator.check}.
 * @throws {@link CraftError} naming the first such row.
 */
export async function checkCraftBundle<R extends object, P extends object>(
  bundle: CraftDatasetBundle<R, P>,
  check: (row: object, strategy: CraftStrategy, where: string) => void,
): Promise<void> {
  const dataset: Dataset<object> = bundle.strategy === "paired_dataset" ? bundle.contrastive : bundle.sft;
  for (let i = 0; i < dataset.length; i++) check(await dataset.row(i), bundle.strategy, dataset.where(i));
}

function asDataset<R extends object>(rows: Dataset<R> | readonly R[], name: string): Dataset<R> {
  const dataset = rows instanceof Dataset ? rows : Dataset.fromArray(rows, { name });
  requireRows(dataset);
  return dataset;
}
