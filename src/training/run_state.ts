/**
 * @file What a checkpoint says of its run: `trainer_state.json` with transformers' fields, so that Python's tools read
 * it, and `run_state.json` with all else that an exact resume needs.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { CraftError } from "../errors.js";
import { writeFileAtomically } from "../models/atomic_file.js";
import type { LogEntry, TrainerControl, TrainerState } from "./callbacks.js";
import type { LoopState } from "./loop_state.js";

export const trainerStateFile = "trainer_state.json";
export const runStateFile = "run_state.json";

const count = z.int().min(0);
const numbers = z.record(z.string(), z.number());
const plain = z.record(z.string(), z.union([z.number(), z.string(), z.boolean()]));
/** JSON has no word for numbers that are not finite. */
const anyNumber = z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"]).transform(Number)]);

const loopSchema = z.object({
  step: count,
  loader: z.object({ epoch: count, position: count }),
  due: z.object({
    start: z.boolean(),
    log: z.boolean(),
    evaluate: z.boolean(),
    save: z.boolean(),
    epochEnd: z.boolean(),
  }),
  sinceLog: z.object({
    loss: z.number(),
    steps: count,
    tokens: z.number(),
    seconds: z.number(),
    tasks: z.record(z.string(), z.object({ sum: z.number(), weight: z.number(), metrics: numbers })),
    norms: z.record(z.string(), z.object({ sum: z.number(), steps: count })),
    factors: z.record(z.string(), z.object({ sum: z.number(), steps: count })),
    gradNorm: z.number(),
    learningRate: z.number(),
  }),
  loss: z.number(),
  tokens: z.number(),
  learningRate: z
    .object({ rate: z.number(), best: z.number().nullable(), bad: count, cooling: count })
    .nullable(),
  best: z.object({
    metric: z.number().nullable(),
    step: count.nullable(),
    checkpoint: z.string().nullable(),
  }),
  callbacks: z.record(z.string(), z.object({ args: plain, attributes: plain })),
  logHistory: z.array(z.record(z.string(), anyNumber)),
});

const runSchema = z.object({
  version: z.literal(1),
  loop: loopSchema,
  optimizerSteps: count,
  settings: z.record(z.string(), z.unknown()),
  carried: z.record(z.string(), z.record(z.string(), z.array(anyNumber))),
});

/** Settings of a run that change its numbers, by the name under which the user knows them. Plain JSON. */
export type RunSettings = Readonly<Record<string, unknown>>;

/** What a checkpoint says of its run, beside weights and moments. */
export interface RunState {
  readonly loop: LoopState;
  readonly optimizerSteps: number;
  readonly settings: RunSettings;
  /** Numbers that are carried from step to step beside the parameters, by the name of who carries them. */
  readonly carried: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
}

const json = (value: unknown): string =>
  `${JSON.stringify(
    value,
    (_, part: unknown) => (typeof part === "number" && !Number.isFinite(part) ? String(part) : part),
    2,
  )}\n`;

/** Writes where a run stands. */
export function writeRunState(folder: string, state: RunState): void {
  writeFileAtomically(join(folder, runStateFile), json({ version: 1, ...state }));
}

/** Reads where a run stood. @throws CraftError for a file that is missing, broken or of another version. */
export function readRunState(folder: string): RunState {
  const path = join(folder, runStateFile);
  const broken = (reason: string, cause?: unknown): CraftError =>
    new CraftError({ subject: path, reason, remedy: "Resume from another checkpoint", cause });
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw broken(`cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  const { success, data, error } = runSchema.safeParse(content);
  if (success) return data;
  const issue = error.issues[0];
  throw broken(`${issue?.path.join(".") ?? "it"} is not as a checkpoint has it: ${issue?.message ?? ""}`);
}

/** Floating-point operations of training on that many tokens: 6 for each token and each weight outside embeddings. */
export const trainingFlops = (tokens: number, weights: number): number => 6 * tokens * weights;

/** Writes `trainer_state.json` as transformers' `TrainerState` reads it; keys are sorted as there. */
export function writeTrainerState(
  folder: string,
  state: TrainerState,
  more: { readonly callbacks: LoopState["callbacks"]; readonly totalFlos: number },
): void {
  const control: TrainerControl = {
    shouldEpochStop: false,
    shouldEvaluate: false,
    shouldLog: false,
    shouldSave: true,
    shouldTrainingStop: state.globalStep >= state.maxSteps,
  };
  const fields = {
    best_global_step: state.bestGlobalStep,
    best_metric: state.bestMetric,
    best_model_checkpoint: state.bestModelCheckpoint,
    epoch: state.epoch ?? 0,
    eval_steps: state.evalSteps,
    global_step: state.globalStep,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: state.logHistory.map(finiteOnly),
    logging_steps: state.loggingSteps,
    max_steps: state.maxSteps,
    num_input_tokens_seen: state.numInputTokensSeen,
    num_train_epochs: state.numTrainEpochs,
    save_steps: state.saveSteps,
    stateful_callbacks: {
      ...more.callbacks,
      TrainerControl: {
        args: Object.fromEntries(
          Object.entries(control).map(([name, value]) => [
            name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
            value as boolean,
          ]),
        ),
        attributes: {},
      },
    },
    total_flos: more.totalFlos,
    train_batch_size: state.trainBatchSize,
    trial_name: null,
    trial_params: null,
  };
  writeFileAtomically(join(folder, trainerStateFile), `${JSON.stringify(fields, null, 2)}\n`);
}

/** Numbers that JSON has no word for become null. */
const finiteOnly = (entry: LogEntry): Record<string, number | null | undefined> =>
  Object.fromEntries(
    Object.entries(entry).map(([name, value]) => [
      name,
      value === undefined || Number.isFinite(value) ? value : null,
    ]),
  );
