export {
  camelCaseKeys,
  optionName,
  parseOptions,
  trainingFields,
  type TrainingArguments,
} from "./arguments.js";
export { evaluateObjective } from "./evaluate.js";
export { ConsoleProgress, JsonlLog, type LogEntry, type TrainingListener } from "./log.js";
export { TrainingLoop, type LoopOptions, type LoopState, type TrainOutput } from "./loop.js";
export { toMasterWeights } from "./master_weights.js";
export { RunningTotals } from "./metrics.js";
export { FixedMixture, type Mixture } from "./mixture.js";
export type { Feeds, LossTerm, Objective, TaggedBatch, TracedFeeds } from "./objective.js";
export { clearOutputDir, listCheckpoints, prepareOutputDir } from "./output_dir.js";
