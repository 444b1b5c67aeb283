/** @file Learning rates over the course of training, with transformers' names and formulas. */
import { CraftError } from "../errors.js";
import { scheduleKwargs, type ScheduleKwargs, type SchedulerType } from "./schedule_kwargs.js";

/** Factor of the learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/** The schedules that are a function of the step alone. */
export type PlannedSchedulerType = Exclude<SchedulerType, "reduce_lr_on_plateau">;

export interface ScheduleOptions {
  /** Of the whole run. */
  readonly totalSteps: number;
  /** Whole steps from 1 on, or a share of the run below 1. Default 0. */
  readonly warmupSteps?: number;
  /** Highest rate; only schedules that end at a given rate depend on it. Default 1. */
  readonly learningRate?: number;
  /** Options of the schedule; see {@link scheduleKwargs}. */
  readonly kwargs?: Readonly<Record<string, unknown>> | undefined;
}

interface Run {
  readonly total: number;
  readonly warmup: number;
  /** Steps after the warm-up, at least 1. */
  readonly rest: number;
  readonly learningRate: number;
}

type Formulas = {
  readonly [T in PlannedSchedulerType]: (run: Run, kwargs: ScheduleKwargs<T>) => Schedule;
};

const wave = (cycles: number, progress: number): number =>
  (1 + Math.cos(Math.PI * cycles * 2 * progress)) / 2;

/** The factor while it grows from 0. */
const warmingUp =
  ({ warmup }: Run, after: Schedule): Schedule =>
  (step) =>
    step < warmup ? step / Math.max(1, warmup) : after(step);

const formulas: Formulas = {
  linear: (run) => warmingUp(run, (step) => Math.max(0, (run.total - step) / run.rest)),

  cosine: (run, { numCycles }) =>
    warmingUp(run, (step) => Math.max(0, wave(numCycles, (step - run.warmup) / run.rest))),

  cosine_with_restarts: (run, { numCycles }) =>
    warmingUp(run, (step) => {
      const progress = (step - run.warmup) / run.rest;
      return progress >= 1 ? 0 : wave(0.5, (numCycles * progress) % 1);
    }),

  polynomial: (run, { lrEnd, power }) => {
    if (lrEnd >= run.learningRate) throw notBelow("lr_end", lrEnd, run.learningRate);
    const end = lrEnd / run.learningRate;
    return warmingUp(run, (step) =>
      step >= run.total ? end : (1 - end) * (1 - (step - run.warmup) / run.rest) ** power + end,
    );
  },

  constant: () => () => 1,

  constant_with_warmup: (run) => warmingUp(run, () => 1),

  inverse_sqrt: (run, { timescale = run.warmup || 10_000 }) =>
    warmingUp(run, (step) => 1 / Math.sqrt((step + timescale - run.warmup) / timescale)),

  cosine_with_min_lr: (run, { numCycles, ...floor }) => {
    const least = lowest(run, floor);
    return warmingUp(run, (step) =>
      Math.max(0, wave(numCycles, (step - run.warmup) / run.rest) * (1 - least) + least),
    );
  },

  cosine_warmup_with_min_lr: (run, { numCycles, warmupLrRate, ...floor }) => {
    const least = lowest(run, floor);
    const { warmup } = run;
    return (step) => {
      if (step < warmup) {
        if (warmupLrRate === undefined) return (step + 1) / warmup;
        return warmupLrRate + ((1 - warmupLrRate) * step) / Math.max(1, warmup - 1);
      }
      return Math.max(0, wave(numCycles, (step - warmup + 1) / run.rest) * (1 - least) + least);
    };
  },

  warmup_stable_decay: (run, kwargs) => {
    const { numDecaySteps: decay, warmupType, decayType, minLrRatio: least, numCycles } = kwargs;
    const stable = kwargs.numStableSteps ?? run.total - run.warmup - decay;
    if (stable < 0) {
      throw new CraftError({
        subject: "lr_scheduler_kwargs.num_decay_steps",
        value: decay,
        reason: `with ${run.warmup} steps of warm-up these are more than the ${run.total} steps of the run`,
        remedy: "Lower it, or warmup_steps.",
      });
    }
    const above = (factor: number): number => Math.max(0, factor * (1 - least) + least);
    const down = run.warmup + stable;
    return (step) => {
      if (step < run.warmup) return above(rising[warmupType](step / Math.max(1, run.warmup)));
      if (step < down) return 1;
      if (step >= down + decay) return least;
      return above(falling[decayType]((step - down) / decay, numCycles));
    };
  },
};

/** Shares of the way up, and of the way down. */
const rising = {
  linear: (progress: number): number => progress,
  cosine: (progress: number): number => (1 - Math.cos(Math.PI * progress)) / 2,
  "1-sqrt": (progress: number): number => 1 - Math.sqrt(1 - progress),
};
const falling = {
  linear: (progress: number): number => 1 - progress,
  cosine: (progress: number, cycles: number): number => wave(cycles, progress),
  "1-sqrt": (progress: number): number => 1 - Math.sqrt(progress),
};

/** The least factor. */
function lowest(
  { learningRate }: Run,
  { minLr, minLrRate }: { readonly minLr?: number | undefined; readonly minLrRate?: number | undefined },
): number {
  if (minLr === undefined) return minLrRate ?? 0;
  if (minLr > learningRate) throw notBelow("min_lr", minLr, learningRate);
  return minLr / learningRate;
}

const notBelow = (name: string, value: number, learningRate: number): CraftError =>
  new CraftError({
    subject: `lr_scheduler_kwargs.${name}`,
    value,
    reason: `must be below learning_rate, which is ${learningRate}`,
  });

/**
 * The factor of the learning rate at each step. With w steps of warm-up, in which it grows as step / w, n steps in all
 * and p = (step - w) / (n - w):
 *
 * | schedule                    | factor after the warm-up                                                               |
 * | --------------------------- | -------------------------------------------------------------------------------------- |
 * | `linear`                    | 1 - p                                                                                  |
 * | `cosine`                    | (1 + cos(2 pi c p)) / 2, c = num_cycles = 0.5                                          |
 * | `cosine_with_restarts`      | (1 + cos(pi (c p mod 1))) / 2, c = num_cycles = 1                                      |
 * | `polynomial`                | (1 - e) (1 - p)^power + e, e = lr_end / learning_rate, lr_end = 1e-7, power = 1        |
 * | `constant`                  | 1, and no warm-up                                                                      |
 * | `constant_with_warmup`      | 1                                                                                      |
 * | `inverse_sqrt`              | sqrt(s / (step + s - w)), s = timescale = w or 10,000                                  |
 * | `cosine_with_min_lr`        | cosine (1 - m) + m, m = min_lr_rate or min_lr / learning_rate                          |
 * | `cosine_warmup_with_min_lr` | the same one step ahead; warm-up (step + 1) / w, or from warmup_lr_rate on to 1        |
 * | `warmup_stable_decay`       | 1, and in the last num_decay_steps down to min_lr_ratio by decay_type                  |
 *
 * Source: transformers 5, `optimization.py`.
 *
 * @throws CraftError for a warm-up that is negative or that the schedule does not have, and for options that it does
 * not have.
 */
export function schedule<T extends PlannedSchedulerType>(type: T, options: ScheduleOptions): Schedule {
  const { totalSteps, warmupSteps = 0, learningRate = 1, kwargs } = options;
  requireWarmup(type, warmupSteps);
  const warmup = warmupSteps < 1 ? Math.ceil(warmupSteps * totalSteps) : Math.floor(warmupSteps);
  const rest = Math.max(1, totalSteps - warmup);
  return formulas[type]({ total: totalSteps, warmup, rest, learningRate }, scheduleKwargs(type, kwargs));
}

/** @throws CraftError for a warm-up that is negative or that the schedule does not have. */
export function requireWarmup(type: SchedulerType, warmupSteps: number): void {
  if (!(warmupSteps >= 0)) {
    throw new CraftError({ subject: "warmup_steps", value: warmupSteps, reason: "must not be negative" });
  }
  if (warmupSteps === 0 || (type !== "constant" && type !== "reduce_lr_on_plateau")) return;
  throw new CraftError({
    subject: "warmup_steps",
    value: warmupSteps,
    reason: `the schedule ${type} has no warm-up`,
    remedy: "Use lr_scheduler_type constant_with_warmup",
  });
}
