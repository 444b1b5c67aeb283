/** @file When a run logs, evaluates and saves of its own accord, as transformers does. */
import type { TrainingArguments } from "./arguments.js";
import type { TrainerControl, TrainerState } from "./callbacks.js";

/** Sets what is due after a step. Asks for an entry, an evaluation and a checkpoint at the last step too. */
export function afterStep(args: TrainingArguments, state: TrainerState, control: TrainerControl): void {
  const { globalStep: step } = state;
  const last = step >= state.maxSteps;
  const due = (interval: number): boolean => step % interval === 0 || last;
  if (args.loggingFirstStep && step === 1) control.shouldLog = true;
  if (args.loggingStrategy === "steps" && due(state.loggingSteps)) control.shouldLog = true;
  if (args.evalStrategy === "steps" && due(state.evalSteps) && args.evalDelay <= step)
    control.shouldEvaluate = true;
  if (args.saveStrategy === "steps" && due(state.saveSteps)) control.shouldSave = true;
}

/** Sets what is due after an epoch, or what there was of it when the run ended. */
export function afterEpoch(args: TrainingArguments, state: TrainerState, control: TrainerControl): void {
  if (args.loggingStrategy === "epoch") control.shouldLog = true;
  if (args.evalStrategy === "epoch" && args.evalDelay <= (state.epoch ?? 0)) control.shouldEvaluate = true;
  if (args.saveStrategy === "epoch") control.shouldSave = true;
}
