export * from "./balancing/index.js";
export { bestRule, reportsOf, type BestRule } from "./argument_rules.js";
export {
  camelCaseKeys,
  optionName,
  parseOptions,
  trainingFields,
  type TrainingArguments as CommonArguments,
} from "./arguments.js";
export type {
  CallbackContext,
  CallbackState,
  LogEntry,
  OptimizerStep,
  PredictionStep,
  RunPlace,
  StepEnd,
  StepPlace,
  SubstepEnd,
  TrainerCallback,
  TrainerControl,
  TrainerState,
} from "./callbacks.js";
export type { AllCarried, Carried, CarriedValues } from "./carried.js";
export { EarlyStoppingCallback, type EarlyStoppingOptions } from "./early_stopping.js";
export { evaluateObjective } from "./evaluate.js";
export { Interruption, TrainingInterrupted, type InterruptionCause } from "./interruption.js";
export { ConsoleProgress, JsonlLog } from "./log.js";
export { TrainingLoop } from "./loop.js";
export type { LoopOptions, LoopState, OnPrediction, SaveKind, TrainOutput } from "./loop_state.js";
export { toMasterWeights } from "./master_weights.js";
export { RunningTotals } from "./metrics.js";
export { FixedMixture, type Mixture, type MixtureFactors, type WindowTasks } from "./mixture.js";
export type {
  ComputedTerm,
  Feeds,
  LossTerm,
  Objective,
  ProgramOptions,
  TaggedBatch,
  TracedFeeds,
  TrainingProgram,
} from "./objective.js";
export { clearOutputDir, listCheckpoints, prepareOutputDir } from "./output_dir.js";
export type { Describe, TaskMeans } from "./since_log.js";
export { TaskGradients } from "./task_gradients.js";
