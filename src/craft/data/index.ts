/** @file The data of CRAFT runs: bundles, pairs, their collator and the loader that mixes them. */
export {
  checkCraftBundle,
  craftStrategies,
  makeCraftDatasets,
  type CraftDatasetBundle,
  type CraftDatasetOptions,
  type CraftStrategy,
} from "./bundle.js";
export {
  CRAFTCollator,
  type HardNegatives,
  type PairBatch,
  type PairHashes,
  type SelfAlignBatch,
} from "./collator.js";
export {
  assistantMaskStrategies,
  selfAlignViews,
  type AssistantMaskStrategy,
  type CRAFTCollatorOptions,
  type SelfAlignViews,
} from "./collator_options.js";
export { defaultContrastiveKeys, type ContrastiveKeys } from "./keys.js";
export {
  CRAFTMixedDataLoader,
  type CraftMicroBatch,
  type CRAFTMixedDataLoaderOptions,
} from "./mixed_loader.js";
export {
  preparePairs,
  type ContrastiveColumns,
  type PairOptions,
  type PreparedPair,
  type PreparedPairs,
} from "./pairs.js";
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
export { CRAFTLoaderPair, type CRAFTLoaderPairOptions, type CraftPairMicroBatch } from "./loader_pair.js";
