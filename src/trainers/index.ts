export {
  BaseTrainer,
  type BaseArguments,
  type BaseTrainerOptions,
  type ComposableTrainer,
  type TrainOptions,
} from "./base_trainer.js";
export { GRPOConfig, grpoFields, grpoSchema, type GRPOArguments, type GRPOOptions } from "./grpo/config.js";
export { GRPOTrainer, type GRPOTrainerOptions } from "./grpo/trainer.js";
export type { Evaluation, RunParts, TrainingParts } from "./parts.js";
export { plainFields, TrainingArguments, type TrainingOptions, type TrainingValues } from "./plain/config.js";
export { languageModelingInputs, type Inputs } from "./plain/inputs.js";
export type { ComputedLoss, SummedLoss } from "./plain/objective.js";
export * from "./rewards/index.js";
export type { SampledCompletion, SampleRequest, Sampler } from "./rollouts/sampler.js";
export {
  DPOConfig,
  dpoFields,
  dpoLosses,
  dpoSchema,
  type DPOArguments,
  type DPOLoss,
  type DPOOptions,
} from "./dpo/config.js";
export {
  divergences,
  pairLoss,
  type PairLogProbs,
  type PairLoss,
  type PairLossOptions,
} from "./dpo/losses.js";
export { DPOObjective } from "./dpo/objective.js";
export { DPOTrainer, type DPOTrainerOptions } from "./dpo/trainer.js";
export { ORPOConfig, orpoFields, orpoSchema, type ORPOArguments, type ORPOOptions } from "./orpo/config.js";
export { logOddsRatio } from "./orpo/loss.js";
export { ORPOObjective } from "./orpo/objective.js";
export { ORPOTrainer, type ORPOTrainerOptions } from "./orpo/trainer.js";
export {
  RewardConfig,
  rewardFields,
  rewardSchema,
  type RewardArguments,
  type RewardOptions,
} from "./reward/config.js";
export { RewardObjective } from "./reward/objective.js";
export { RewardTrainer, type RewardTrainerOptions } from "./reward/trainer.js";
export { PreferenceTrainer } from "./preference/trainer.js";
export type { Reference } from "./preference/reference.js";
export type { Rows } from "./rows.js";
export { PPOConfig, ppoFields, ppoSchema, type PPOArguments, type PPOOptions } from "./ppo/config.js";
export { PPOTrainer, type PPOTrainerOptions } from "./ppo/trainer.js";
export { ValueHead } from "./ppo/value_head.js";
export { SFTConfig, sftFields, sftSchema, type SFTArguments, type SFTOptions } from "./sft/config.js";
export { SFTObjective } from "./sft/objective.js";
export { SFTTrainer, type SFTTrainerOptions } from "./sft/trainer.js";
export { Trainer, type DataCollator, type TrainerOptions } from "./trainer.js";
