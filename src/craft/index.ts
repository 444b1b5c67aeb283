export {
  CraftConfig,
  craftFields,
  craftPresets,
  CRAFTDPOConfig,
  CRAFTORPOConfig,
  CRAFTSFTConfig,
  CRAFTTrainingArguments,
  Explanation,
  getPreset,
  gradientBalancings,
  negativeStrategies,
  reportMetrics,
  type CraftArguments,
  type CraftFacts,
  type CraftOptions,
  type CraftPreset,
  type CRAFTDPOArguments,
  type CRAFTDPOOptions,
  type CRAFTORPOArguments,
  type CRAFTORPOOptions,
  type CRAFTSFTArguments,
  type CRAFTSFTOptions,
  type CRAFTTrainingOptions,
  type CRAFTTrainingValues,
  type CraftedArguments,
  type ExplainedOption,
  type OptionRecord,
  type Origin,
  type Origins,
} from "./config.js";
export { contrastiveReward, type ContrastiveRewardOptions } from "./contrastive_reward.js";
export * from "./data/index.js";
export * from "./losses/index.js";
export * from "./metrics/index.js";
export { GradCache, type Chunk, type Encoder, type Encoding } from "./grad_cache.js";
export * from "./objectives/index.js";
export {
  CRAFTGRPOConfig,
  CRAFTPPOConfig,
  type CRAFTGRPOArguments,
  type CRAFTGRPOOptions,
  type CRAFTPPOArguments,
  type CRAFTPPOOptions,
} from "./rl_config.js";
export {
  CRAFTGRPOTrainer,
  CRAFTPPOTrainer,
  type CRAFTGRPOTrainerOptions,
  type CRAFTPPOTrainerOptions,
} from "./rl_trainers.js";
export type {
  CraftDataOptions,
  CraftLoaderContext,
  CraftLoaderFactory,
  CraftLoaders,
} from "./trainer_data.js";
export {
  CRAFTDPOTrainer,
  CRAFTORPOTrainer,
  CRAFTSFTTrainer,
  type CRAFTDPOTrainerOptions,
  type CRAFTORPOTrainerOptions,
  type CRAFTSFTTrainerOptions,
} from "./trainers.js";
export {
  withCraft,
  type CraftTrainer,
  type CraftTrainerClass,
  type CraftTrainerOptions,
} from "./with_craft.js";
