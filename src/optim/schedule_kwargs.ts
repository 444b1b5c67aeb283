/** @file What `lr_scheduler_kwargs` may hold, for each schedule, with transformers' names and defaults. */
import { z } from "zod";
import { CraftError } from "../errors.js";

export const schedulerTypes = [
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
  "constant",
  "constant_with_warmup",
  "inverse_sqrt",
  "reduce_lr_on_plateau",
  "cosine_with_min_lr",
  "cosine_warmup_with_min_lr",
  "warmup_stable_decay",
] as const;
export type SchedulerType = (typeof schedulerTypes)[number];

const cycles = z.number().positive();
const rate = z.number().min(0);
const share = z.number().min(0).max(1);
const steps = z.int().min(0);
const shape = z.enum(["linear", "cosine", "1-sqrt"]);
const floor = { minLr: rate.optional(), minLrRate: share.optional() };

export const plateauSchema = z.strictObject({
  mode: z.enum(["min", "max"]).default("min"),
  factor: z.number().min(0).lt(1).default(0.1),
  patience: steps.default(10),
  threshold: z.number().min(0).default(1e-4),
  thresholdMode: z.enum(["rel", "abs"]).default("rel"),
  cooldown: steps.default(0),
  minLr: rate.default(0),
  eps: z.number().min(0).default(1e-8),
});

/** The options of each schedule beside warm-up and length. */
export const scheduleSchemas = {
  linear: z.strictObject({}),
  cosine: z.strictObject({ numCycles: cycles.default(0.5) }),
  cosine_with_restarts: z.strictObject({ numCycles: z.int().min(1).default(1) }),
  polynomial: z.strictObject({ lrEnd: rate.default(1e-7), power: z.number().positive().default(1) }),
  constant: z.strictObject({}),
  constant_with_warmup: z.strictObject({}),
  inverse_sqrt: z.strictObject({ timescale: z.number().positive().optional() }),
  reduce_lr_on_plateau: plateauSchema,
  cosine_with_min_lr: z.strictObject({ numCycles: cycles.default(0.5), ...floor }),
  cosine_warmup_with_min_lr: z.strictObject({
    numCycles: cycles.default(0.5),
    ...floor,
    warmupLrRate: share.optional(),
  }),
  warmup_stable_decay: z.strictObject({
    numDecaySteps: steps,
    numStableSteps: steps.optional(),
    warmupType: shape.default("linear"),
    decayType: shape.default("cosine"),
    minLrRatio: share.default(0),
    numCycles: cycles.default(0.5),
  }),
} satisfies Record<SchedulerType, z.ZodObject>;

export type ScheduleKwargs<T extends SchedulerType> = z.output<(typeof scheduleSchemas)[T]>;

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/**
 * Checks the options of a schedule; names may be camelCase or snake_case.
 *
 * @throws CraftError for an option that the schedule does not have, naming those that it has; for a value out of range;
 * and for min_lr and min_lr_rate together, or neither where one is needed.
 */
export function scheduleKwargs<T extends SchedulerType>(
  type: T,
  kwargs: Readonly<Record<string, unknown>> = {},
): ScheduleKwargs<T> {
  const schema: z.ZodObject = scheduleSchemas[type];
  const given = Object.fromEntries(Object.entries(kwargs).map(([name, value]) => [camel(name), value]));
  const result = schema.safeParse(given);
  if (!result.success) throw refusal(type, given, Object.keys(schema.shape), result.error.issues[0]!);
  if ("minLrRate" in schema.shape) requireOneFloor(type, result.data);
  // The schema that was looked up by the type checked the data.
  return result.data as ScheduleKwargs<T>;
}

function refusal(
  type: SchedulerType,
  given: Readonly<Record<string, unknown>>,
  known: readonly string[],
  issue: z.core.$ZodIssue,
): CraftError {
  if (issue.code === "unrecognized_keys") {
    return new CraftError({
      subject: `lr_scheduler_kwargs.${snake(issue.keys[0]!)}`,
      reason: `the schedule ${type} has no such option`,
      remedy: known.length === 0 ? "It has none." : `It has ${known.map(snake).join(", ")}.`,
    });
  }
  const name = String(issue.path[0]);
  return new CraftError({
    subject: `lr_scheduler_kwargs.${snake(name)}`,
    value: given[name],
    reason: name in given ? issue.message : `is needed by the schedule ${type}`,
  });
}

function requireOneFloor(type: SchedulerType, { minLr, minLrRate }: Record<string, unknown>): void {
  if ((minLr === undefined) !== (minLrRate === undefined)) return;
  throw new CraftError({
    subject: "lr_scheduler_kwargs",
    reason:
      minLr === undefined
        ? `the schedule ${type} needs min_lr or min_lr_rate`
        : "min_lr and min_lr_rate say the same thing twice",
    remedy: "Give one of both.",
  });
}
