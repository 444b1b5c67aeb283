/** @file The windows of a CRAFT run: those of the trainer's own loaders, or of the user's. */
import type { LanguageModelingBatch } from "../data/collator.js";
import { DataLoader, type Loader } from "../data/loader.js";
import type { Prepared } from "../data/prepared.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import type { WindowLoader } from "../data/windows.js";
import type { TaggedBatch } from "../training/index.js";
import type { CRAFTSFTArguments } from "./config.js";
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
import { checkLoaders, type CraftDataOptions, type CraftLoaders } from "./trainer_data.js";

/** Both kinds of data, ready for loaders. */
export interface CraftData {
  readonly rows: Prepared<PreparedRow>;
  readonly pairs: PreparedPairs | undefined;
  readonly bundle: CraftDatasetBundle<PreparedRow, PreparedPair>;
  readonly collator: CRAFTCollator;
  /** Pairs in a contrastive micro-batch. */
  readonly pairsAtATime: number;
}

/** How a trainer makes batches of the base objective. */
export interface BaseBatches {
  readonly collate: (rows: readonly PreparedRow[], where: readonly string[]) => LanguageModelingBatch;
  readonly loader: () => Loader<LanguageModelingBatch>;
}

export interface CraftWindows {
  readonly loader: WindowLoader<TaggedBatch>;
  /** The share of micro-batches that are the base objective's. */
  readonly beta: number;
  /** Whether the trainer makes all batches itself. */
  readonly own: boolean;
}

/** @throws CraftError for loaders that are none, and counts that a length strategy does not allow. */
export async function craftWindows(
  data: CraftData,
  args: CRAFTSFTArguments,
  given: CraftDataOptions,
  base: BaseBatches,
  onNotice: (notice: string) => void,
): Promise<CraftWindows> {
  const mixing = {
    gradientAccumulationSteps: args.gradientAccumulationSteps,
    beta: args.craftBeta,
    betaMode: args.craftBetaMode,
    lengthStrategy: args.craftLengthStrategy,
    onNotice,
  };
  const loaders = await givenLoaders(data, args, given, base);
  if (loaders !== undefined) {
    const loader = new CRAFTLoaderPair({ sft: loaders.sft, contrastive: loaders.contrastive, ...mixing });
    return { loader, beta: loader.beta, own: false };
  }
  const { rows, pairs, bundle, collator, pairsAtATime } = data;
  const loader = new CRAFTMixedDataLoader({
    bundle,
    collator,
    collateSft: base.collate,
    batchSize: args.perDeviceTrainBatchSize,
    contrastiveBatchSize: pairsAtATime,
    ...mixing,
    seed: args.seed,
    ...(args.dataloaderDropLast ? { dropLast: true } : {}),
    ...(args.groupByLength ? { lengths: rows.lengths } : {}),
    ...(args.groupByLength && pairs !== undefined ? { contrastiveLengths: pairs.lengths } : {}),
    ...(pairs === undefined ? {} : { contrastiveGroups: pairs.groups }),
  });
  return { loader, beta: loader.beta, own: true };
}

/** The user's loaders, with the trainer's own for the kind that is not given; undefined if none is. */
async function givenLoaders(
  { rows, bundle, collator, pairsAtATime }: CraftData,
  { perDeviceTrainBatchSize: batchSize, seed }: CRAFTSFTArguments,
  { craftSftLoader, craftContrastiveLoader, craftLoaderFactory }: CraftDataOptions,
  base: BaseBatches,
): Promise<CraftLoaders | undefined> {
  const pairs = bundle.strategy === "paired_dataset" ? bundle.contrastive : undefined;
  if (craftLoaderFactory !== undefined) {
    const { strategy, sft: sftDataset } = bundle;
    const context = { strategy, sftDataset, contrastiveDataset: pairs, collator, batchSize, seed };
    return checkLoaders(await craftLoaderFactory({ ...context, contrastiveBatchSize: pairsAtATime }));
  }
  if (craftSftLoader === undefined && craftContrastiveLoader === undefined) return undefined;
  const sft = craftSftLoader ?? base.loader();
  if (craftContrastiveLoader !== undefined) return { sft, contrastive: craftContrastiveLoader };
  const dataset = pairs ?? rows.dataset;
  const collate: (rows: readonly object[], where: readonly string[]) => PairBatch | SelfAlignBatch =
    pairs === undefined ? collator.collateSelfAlign : collator.collatePairs;
  const dropLast = dataset.length % pairsAtATime === 1;
  const contrastive = new DataLoader<object, PairBatch | SelfAlignBatch>({
    dataset,
    batchSize: pairsAtATime,
    collate,
    seed,
    dropLast,
  });
  return { sft, contrastive };
}
