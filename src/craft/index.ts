export {
  craftFields,
  CRAFTSFTConfig,
  type CraftArguments,
  type CRAFTSFTArguments,
  type CRAFTSFTOptions,
} from "./config.js";
export * from "./data/index.js";
export * from "./losses/index.js";
export * from "./metrics/index.js";
export { ContrastiveObjective, RepresentationReference, SelfAlignObjective } from "./objectives.js";
export { CRAFTSFTTrainer, type CRAFTSFTTrainerOptions } from "./trainers.js";
