/** @file Whether a checkpoint belongs to a run with the same settings. */
import { basename } from "node:path";
import { CraftError } from "../errors.js";
import { bestRule } from "./argument_rules.js";
import { optionName, type TrainingArguments } from "./arguments.js";
import type { CallbackState } from "./callbacks.js";
import type { RunSettings } from "./run_state.js";

/** Options that change what is written or shown, and no number that is learnt. */
const free = new Set<string>([
  "outputDir",
  "overwriteOutputDir",
  "resumeFromCheckpoint",
  "disableTqdm",
  "reportTo",
  "gradientCheckpointing",
  "loggingStrategy",
  "loggingSteps",
  "loggingFirstStep",
  "saveStrategy",
  "saveSteps",
  "saveTotalLimit",
  "saveOnlyModel",
  // The length of the run is compared by its steps, where the schedule depends on them.
  "maxSteps",
  "numTrainEpochs",
] satisfies (keyof TrainingArguments)[]);

/** Options that matter where evaluations decide something. */
const ofEvaluations = new Set<string>([
  "evalStrategy",
  "evalSteps",
  "evalDelay",
  "evalOnStart",
  "perDeviceEvalBatchSize",
] satisfies (keyof TrainingArguments)[]);

const endless = new Set<string>(["constant", "constant_with_warmup", "inverse_sqrt", "reduce_lr_on_plateau"]);

/** What is not among the options and changes the numbers all the same. */
export interface RunFacts {
  readonly totalSteps: number;
  readonly callbacks: Readonly<Record<string, CallbackState>>;
  /** By the name under which the user knows it, e.g. `lora_r`. */
  readonly more: Readonly<Record<string, unknown>>;
}

/** What is compared when a run is resumed. */
export function settingsOf(args: TrainingArguments, { totalSteps, callbacks, more }: RunFacts): RunSettings {
  const judged = bestRule(args) !== undefined;
  const options = Object.entries(args).filter(
    ([name]) => !free.has(name) && (judged || !ofEvaluations.has(name)),
  );
  const planned = !endless.has(args.lrSchedulerType) || (args.warmupSteps > 0 && args.warmupSteps < 1);
  return {
    ...Object.fromEntries(
      options.map(([name, value]): [string, unknown] => [optionName(name), value ?? null]),
    ),
    ...(planned ? { max_steps: totalSteps } : {}),
    ...Object.fromEntries(
      Object.entries(callbacks).flatMap(([callback, state]) =>
        Object.entries(state.args).map(([name, value]): [string, unknown] => [`${callback}.${name}`, value]),
      ),
    ),
    ...more,
  };
}

/**
 * A run may be made longer or shorter; where its schedule depends on the length, `notice` is told.
 *
 * @throws CraftError naming every other setting that differs, with both values.
 */
export function requireSameSettings(
  checkpoint: string,
  { max_steps: savedSteps, ...saved }: RunSettings,
  { max_steps: ownSteps, ...own }: RunSettings,
  notice: (message: string) => void,
): void {
  const text = (value: unknown): string => (value === undefined ? "not set" : JSON.stringify(value));
  const differences = [...new Set([...Object.keys(own), ...Object.keys(saved)])]
    .map((name) => [name, text(saved[name] ?? undefined), text(own[name] ?? undefined)] as const)
    .filter(([, before, now]) => before !== now)
    .map(([name, before, now]) => `${name} was ${before} and is ${now}`);
  if (differences.length === 0) {
    if (savedSteps !== ownSteps && savedSteps !== undefined && ownSteps !== undefined)
      notice(
        `${basename(checkpoint)} is of a run of ${text(savedSteps)} steps; the learning rate goes on as in one of ${text(ownSteps)}`,
      );
    return;
  }
  throw new CraftError({
    subject: "resume_from_checkpoint",
    value: checkpoint,
    reason: `was made with other settings: ${differences.join("; ")}`,
    remedy: `Resume with the settings of the run that wrote ${basename(checkpoint)}, or start anew`,
  });
}
