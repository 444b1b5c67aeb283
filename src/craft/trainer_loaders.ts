/** @file The windows of a CRAFT run: those of the trainer's own loaders, or of the user's. */
import type { Loader } from "../data/loader.js";
import type { Prepared } from "../data/prepared.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import type { WindowLoader } from "../data/windows.js";
import type { TaggedBatch } from "../training/index.js";
import type { CraftedArguments } from "./config.js";
import {
  CRAFTLoaderPair,
  CRAFTMixedDataLoader,
  type CRAFTCollator,
  type CraftDatasetBundle,
  type PairBatch,
  type PreparedPair,
  type PreparedPairs,
  type SelfAlignBatch,
} from "./data/index.js";
import { PairLoader } from "./data/pair_loader.js";
import { checkLoaders, type CraftDataOptions, type CraftLoaders } from "./trainer_data.js";

/** The data that pairs are made of, with their collator. */
export interface CraftData {
  /** Where there are pairs of their own. */
  readonly pairs: PreparedPairs | undefined;
  /** Where rows are their own pairs. */
  readonly rows: Prepared<PreparedRow> | undefined;
  readonly bundle: CraftDatasetBundle<object, PreparedPair>;
  readonly collator: CRAFTCollator;
  /** Pairs in a contrastive micro-batch. */
  readonly pairsAtATime: number;
}

/** The base trainer's side. */
export interface BaseBatches<Batch> {
  /** The name of its objective. */
  readonly objective: string;
  readonly batches: Loader<Batch>;
  /** Whether its loss is the token loss, which rows that are their own pairs give in the same forward pass. */
  readonly shared: boolean;
}

export interface CraftWindows {
  readonly loader: WindowLoader<TaggedBatch>;
  /** The share of micro-batches that are the base objective's. */
  readonly beta: number;
  /** Whether the trainer makes all contrastive batches itself. */
  readonly own: boolean;
}

/** @throws CraftError for loaders that are none, and counts that a length strategy does not allow. */
export async function craftWindows<Batch>(
  data: CraftData,
  args: CraftedArguments,
  given: CraftDataOptions<Batch>,
  base: BaseBatches<Batch>,
  onNotice: (notice: string) => void,
): Promise<CraftWindows> {
  const mixing = {
    gradientAccumulationSteps: args.gradientAccumulationSteps,
    beta: args.craftBeta,
    betaMode: args.craftBetaMode,
    lengthStrategy: args.craftLengthStrategy,
    onNotice,
  };
  const { craftSftLoader, craftContrastiveLoader, craftLoaderFactory } = given;
  const own = craftSftLoader === undefined && craftContrastiveLoader === undefined && !craftLoaderFactory;
  if (own && base.shared && data.rows !== undefined) {
    const { rows, collator, pairsAtATime } = data;
    const loader = new CRAFTMixedDataLoader({
      bundle: { strategy: "self_align", sft: rows.dataset },
      collator,
      collateSft: collator.collateSft,
      batchSize: args.perDeviceTrainBatchSize,
      contrastiveBatchSize: pairsAtATime,
      ...mixing,
      seed: args.seed,
      ...(args.dataloaderDropLast ? { dropLast: true } : {}),
      ...(args.groupByLength ? { lengths: rows.lengths } : {}),
    });
    return { loader, beta: loader.beta, own };
  }
  const notices: string[] = [];
  const loaders = await bothLoaders(data, args, given, base, (notice) => notices.push(notice));
  const loader = new CRAFTLoaderPair({ ...loaders, objective: base.objective, ...mixing });
  notices.forEach(onNotice);
  return { loader, beta: loader.beta, own };
}

/** The user's loaders, with the trainer's own for a kind that is not given. */
async function bothLoaders<Batch>(
  data: CraftData,
  args: CraftedArguments,
  { craftSftLoader, craftContrastiveLoader, craftLoaderFactory }: CraftDataOptions<Batch>,
  { batches }: BaseBatches<Batch>,
  onNotice: (notice: string) => void,
): Promise<CraftLoaders<Batch>> {
  if (craftLoaderFactory !== undefined) {
    const { bundle, collator, pairsAtATime } = data;
    const { strategy, sft: sftDataset } = bundle;
    const made = await craftLoaderFactory({
      strategy,
      sftDataset,
      contrastiveDataset: strategy === "paired_dataset" ? bundle.contrastive : undefined,
      collator,
      batchSize: args.perDeviceTrainBatchSize,
      contrastiveBatchSize: pairsAtATime,
      seed: args.seed,
    });
    return checkLoaders(made);
  }
  const sft = craftSftLoader ?? batches;
  if (craftContrastiveLoader !== undefined) return { sft, contrastive: craftContrastiveLoader };
  const contrastive = pairLoader(data, args);
  contrastive.notices.forEach(onNotice);
  return { sft, contrastive };
}

function pairLoader(
  { pairs, rows, collator, pairsAtATime: batchSize }: CraftData,
  { craftBeta: beta, seed, groupByLength }: CraftedArguments,
): PairLoader<object, PairBatch | SelfAlignBatch> {
  const minimumPairs = beta < 1 ? collator.minimumPairs : 1;
  const source = pairs ?? rows!;
  return new PairLoader<object, PairBatch | SelfAlignBatch>({
    dataset: source.dataset,
    batchSize,
    minimumPairs,
    collate: pairs === undefined ? collator.collateSelfAlign : collator.collatePairs,
    seed,
    lengths: groupByLength ? source.lengths : undefined,
    groups: pairs?.groups,
  });
}
