export { SFTConfig, sftFields, sftSchema, type SFTArguments, type SFTOptions } from "./sft/config.js";
export { SFTObjective } from "./sft/objective.js";
export { SFTTrainer, type Rows, type SFTTrainerOptions } from "./sft/trainer.js";
export {
  Trainer,
  type Evaluation,
  type TrainerOptions,
  type TrainingParts,
  type TrainOptions,
} from "./trainer.js";
