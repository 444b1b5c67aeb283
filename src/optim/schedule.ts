/** @file Learning rates over the course of training, with transformers' names and formulas. */
import { CraftError } from "../errors.js";

export const schedulerTypes = ["linear", "cosine", "constant", "constant_with_warmup"] as const;
export type SchedulerType = (typeof schedulerTypes)[number];

/** Factor of the learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/**
 * During warm-up the factor grows from 0 as step / warmupSteps. Then, with p the share of the remaining steps that are
 * done: linear 1 - p; cosine (1 + cos(pi p)) / 2; constant_with_warmup 1. The schedule constant is 1 throughout.
 *
 * @param totalSteps of the whole run
 * @param warmupSteps whole steps from 1 on, or a share of the run below 1
 * @throws CraftError for a warm-up that is negative, or that the schedule does not have.
 */
export function schedule(type: SchedulerType, totalSteps: number, warmupSteps = 0): Schedule {
  if (!(warmupSteps >= 0)) {
    throw new CraftError({ subject: "warmup_steps", value: warmupSteps, reason: "must not be negative" });
  }
  if (type === "constant") {
    if (warmupSteps === 0) return () => 1;
    throw new CraftError({
      subject: "warmup_steps",
      value: warmupSteps,
      reason: "the schedule constant has no warm-up",
      remedy: "Use lr_scheduler_type constant_with_warmup",
    });
  }
  const warmup = warmupSteps < 1 ? Math.ceil(warmupSteps * totalSteps) : Math.floor(warmupSteps);
  const rest = Math.max(1, totalSteps - warmup);
  const after: Record<Exclude<SchedulerType, "constant">, Schedule> = {
    linear: (step) => Math.max(0, (totalSteps - step) / rest),
    cosine: (step) => Math.max(0, (1 + Math.cos((Math.PI * (step - warmup)) / rest)) / 2),
    constant_with_warmup: () => 1,
  };
  const decay = after[type];
  return (step) => (step < warmup ? step / Math.max(1, warmup) : decay(step));
}
