/** @file Options that every trainer has, with the names and defaults of transformers and TRL. */
import { z } from "zod";
import { CraftError } from "../errors.js";
import { schedulerTypes } from "../optim/schedule_kwargs.js";
import { checkTogether } from "./argument_rules.js";

const count = z.int().min(1);
/** A number of steps from 1 on, or below 1 a share of all steps. */
const interval = z.union([count, z.number().gt(0).lt(1)], {
  error: "must be a whole number from 1 on, or a share of the run between 0 and 1",
});
export const reports = ["none", "tensorboard"] as const;

/** The fields, with their docs. Trainers add their own to these. */
export const trainingFields = {
  outputDir: z
    .string()
    .min(1)
    .default("trainer_output")
    .describe("Folder for checkpoints, logs and the result."),
  perDeviceTrainBatchSize: count.default(8).describe("Rows in a training micro-batch."),
  perDeviceEvalBatchSize: count.default(8).describe("Rows in an evaluation batch."),
  gradientAccumulationSteps: count.default(1).describe("Micro-batches in an optimiser step."),
  numTrainEpochs: z.number().positive().default(3).describe("Passes over the data; maxSteps overrides it."),
  maxSteps: z.int().min(-1).default(-1).describe("Optimiser steps in all; -1 leaves it to numTrainEpochs."),
  learningRate: z.number().min(0).default(5e-5).describe("Highest learning rate of the schedule."),
  lrSchedulerType: z
    .enum(schedulerTypes)
    .default("linear")
    .describe("How the learning rate falls after warm-up."),
  lrSchedulerKwargs: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("Options of the schedule, e.g. {num_cycles: 2}."),
  warmupSteps: z.number().min(0).default(0).describe("Steps of warm-up; below 1, a share of all steps."),
  weightDecay: z.number().min(0).default(0).describe("Decay of weights other than biases and norms."),
  adamBeta1: z.number().min(0).lt(1).default(0.9).describe("Decay of AdamW's mean gradient."),
  adamBeta2: z.number().min(0).lt(1).default(0.999).describe("Decay of AdamW's mean squared gradient."),
  adamEpsilon: z.number().positive().default(1e-8).describe("Added to the root in AdamW."),
  maxGradNorm: z
    .number()
    .min(0)
    .default(1)
    .describe("Longer gradients are scaled down to this norm; 0 never does."),
  loggingStrategy: z.enum(["no", "steps", "epoch"]).default("steps").describe("When to log."),
  loggingSteps: interval
    .default(10)
    .describe("Steps between two log entries; below 1, a share of all steps."),
  loggingFirstStep: z.boolean().default(false).describe("Log the first step too."),
  saveStrategy: z
    .enum(["no", "steps", "epoch", "best"])
    .default("steps")
    .describe("When to write checkpoints; `best` after each evaluation that is the best so far."),
  saveSteps: interval.default(500).describe("Steps between two checkpoints; below 1, a share of all steps."),
  saveTotalLimit: count
    .optional()
    .describe("Checkpoints to keep; the oldest go first, the best stays. All by default."),
  saveOnlyModel: z
    .boolean()
    .default(false)
    .describe("Checkpoints without what is needed to go on from them."),
  evalStrategy: z.enum(["no", "steps", "epoch"]).default("no").describe("When to evaluate."),
  evalSteps: interval.optional().describe("Steps between two evaluations; loggingSteps by default."),
  evalDelay: z
    .number()
    .min(0)
    .default(0)
    .describe("Steps, or epochs, before the first evaluation, by evalStrategy."),
  evalOnStart: z.boolean().default(false).describe("Evaluate before the first step."),
  loadBestModelAtEnd: z
    .boolean()
    .default(false)
    .describe("The result is the best checkpoint, by metricForBestModel, and not the last weights."),
  metricForBestModel: z
    .string()
    .min(1)
    .optional()
    .describe("Metric of the evaluations, with or without `eval_`; loss by default."),
  greaterIsBetter: z
    .boolean()
    .optional()
    .describe("Whether higher metrics are better; by default unless the name ends with `loss`."),
  reportTo: z
    .union([z.enum(reports), z.array(z.enum(reports))])
    .default("none")
    .describe("Where to report beside log.jsonl: `tensorboard`, or a list."),
  gradientCheckpointing: z.boolean().default(false).describe("Less memory for a third more time."),
  dataloaderDropLast: z.boolean().default(false).describe("Leave out a last micro-batch that is not full."),
  groupByLength: z.boolean().default(false).describe("Put rows of like length into one micro-batch."),
  seed: z.int().min(0).default(42).describe("Of the order of data, new weights and dropout."),
  overwriteOutputDir: z.boolean().default(false).describe("Clear an output folder that is not empty."),
  resumeFromCheckpoint: z
    .union([z.boolean(), z.string()])
    .default(false)
    .describe("Go on from a checkpoint folder, or with true from the last one in the output folder."),
  disableTqdm: z.boolean().default(false).describe("Show no progress bar."),
};

export const trainingSchema = z.strictObject(trainingFields);
export type TrainingArguments = z.output<typeof trainingSchema>;

const camelCase = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/**
 * `perDeviceTrainBatchSize` to `per_device_train_batch_size`, as the option is called in files and errors. A number begins a
 * word where letters follow it, as in `bnb_4bit_quant_type`, and else ends one, as in `adam_beta1`.
 */
export const optionName = (name: string): string =>
  name.replace(/[A-Z]|\d+(?=[a-z])/g, (start) => `_${start.toLowerCase()}`);

/** Options as they may come: camelCase from code, snake_case from files. Unknown ones are refused when parsed. */
export function camelCaseKeys(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    const key = camelCase(name);
    if (key in result) {
      throw new CraftError({
        subject: optionName(key),
        reason: "is given twice, in both spellings",
        remedy: "Keep one.",
      });
    }
    if (value !== undefined) result[key] = value;
  }
  return result;
}

/**
 * Checks options against a schema.
 *
 * @throws CraftError naming the first option at fault, its value, what would be accepted, and for an unknown option
 * those that look like it. Options of a trainer must also go together; see {@link checkTogether}.
 */
export function parseOptions<S extends z.ZodObject>(
  schema: S,
  options: Readonly<Record<string, unknown>>,
  subject: string,
): z.output<S> {
  const given = camelCaseKeys(options);
  const result = schema.safeParse(given);
  if (result.success) {
    if (hasTrainingFields(result.data)) checkTogether(result.data);
    return result.data;
  }
  const issue = result.error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys[0]!;
    throw new CraftError({
      subject: `${subject}, option ${optionName(unknown)}`,
      reason: "there is no such option",
      remedy: suggest(unknown, Object.keys(schema.shape)),
    });
  }
  const key = String(issue.path[0] ?? subject);
  throw new CraftError({ subject: optionName(key), value: given[key], reason: issue.message });
}

/** Whether the options are those of a trainer. */
const hasTrainingFields = (data: object): data is TrainingArguments =>
  ["lrSchedulerType", "evalStrategy", "saveStrategy"].every((name) => name in data);

function suggest(unknown: string, known: readonly string[]): string {
  const pieces = optionName(unknown).split("_");
  const plain = (name: string): string => name.replaceAll("_", "").toLowerCase();
  const typos = (name: string): number => editDistance(plain(unknown), plain(name));
  const shared = (name: string): number =>
    optionName(name)
      .split("_")
      .filter((piece) => pieces.includes(piece)).length;
  const allowed = Math.max(1, Math.floor(unknown.length / 4));
  const near = known.filter((name) => typos(name) <= allowed).sort((a, b) => typos(a) - typos(b));
  const kin = known.filter((name) => shared(name) > 0).sort((a, b) => shared(b) - shared(a));
  const best = [...new Set([...near, ...kin])];
  const shown = (best.length > 0 ? best.slice(0, 4) : known).map(optionName).join(", ");
  return best.length > 0 ? `Did you mean ${shown}?` : `Known are ${shown}.`;
}

/** How many letters must be put in, taken out or changed to make one word of the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
