/** @file Schedules of windows as tests write them. */
import { mixingSchedule, type MixingOptions, type MixingSchedule } from "../../../src/craft/data/schedule.js";

/** The windows of an epoch as strings such as "sssc". */
export function windows(schedule: MixingSchedule): string[] {
  return Array.from({ length: schedule.windows }, (_, i) => {
    const [from, to] = [schedule.before(i), schedule.before(i + 1)];
    return "s".repeat(to.sft - from.sft) + "c".repeat(to.contrastive - from.contrastive);
  });
}

/** The schedule of two numbers of batches. */
export const plan = (
  sftBatches: number,
  contrastiveBatches: number,
  rest: Omit<MixingOptions, "sftBatches" | "contrastiveBatches">,
) => mixingSchedule({ sftBatches, contrastiveBatches, ...rest });
