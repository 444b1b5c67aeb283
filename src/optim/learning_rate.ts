/** @file The learning rate of a run: planned from the start, or decided by evaluations. */
import { ReduceLROnPlateau, type PlateauState } from "./plateau.js";
import { requireWarmup, schedule, type ScheduleOptions } from "./schedule.js";
import type { SchedulerType } from "./schedule_kwargs.js";

export interface LearningRate {
  /** Rate of a step, counted from 0. */
  at(step: number): number;
  /** Hears the metric of an evaluation, where the schedule goes by one. */
  observe?(metric: number): void;
  /** What a saved run must go on with; null for schedules that are a function of the step. */
  state(): PlateauState | null;
  restore(state: PlateauState | null): void;
}

/** The rate of a schedule by its name. */
export function learningRate(
  type: SchedulerType,
  options: ScheduleOptions & { readonly learningRate: number },
): LearningRate {
  if (type === "reduce_lr_on_plateau") {
    requireWarmup(type, options.warmupSteps ?? 0);
    const plateau = new ReduceLROnPlateau(options.learningRate, options.kwargs);
    return {
      at: () => plateau.rate,
      observe: (metric) => plateau.observe(metric),
      state: () => plateau.state(),
      restore: (state) => {
        if (state !== null) plateau.restore(state);
      },
    };
  }
  const factor = schedule(type, options);
  return { at: (step) => options.learningRate * factor(step), state: () => null, restore: () => {} };
}
