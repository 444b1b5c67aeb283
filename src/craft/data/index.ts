/** @file The data of CRAFT runs: bundles, pairs, their collator and the loader that mixes them. */
export {
  checkCraftBundle,
  makeCraftDatasets,
  type CraftDatasetBundle,
  type CraftDatasetOptions,
  type CraftStrategy,
} from "./bundle.js";
export {
  CRAFTCollator,
  defaultContrastiveKeys,
  type AssistantMaskStrategy,
  type ContrastiveKeys,
  type CRAFTCollatorOptions,
  type PairBatch,
  type PairHashes,
  type SelfAlignBatch,
  type SelfAlignViews,
} from "./collator.js";
export {
  CRAFTMixedDataLoader,
  type CraftMicroBatch,
  type CRAFTMixedDataLoaderOptions,
} from "./mixed_loader.js";
export { preparePairs, type PairOptions, type PreparedPair, type PreparedPairs } from "./pairs.js";
export type { CraftObjective } from "./plan.js";
export {
  betaModes,
  lengthStrategies,
  mixingSchedule,
  splitWindow,
  type BetaMode,
  type LengthStrategy,
  type MixingOptions,
  type MixingSchedule,
  type Share,
} from "./schedule.js";
