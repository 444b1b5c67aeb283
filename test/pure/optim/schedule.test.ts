/** @file Learning rates against transformers, clipping against PyTorch (parity/optim.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { clipDivisor, schedule, type SchedulerType } from "../../../src/optim/index.js";

interface Table {
  readonly type: SchedulerType;
  readonly totalSteps: number;
  readonly warmupSteps: number;
  readonly rates: readonly number[];
}

interface Clipped {
  readonly maxNorm: number;
  readonly norm: number;
  readonly before: readonly (readonly number[])[];
  readonly after: readonly (readonly number[])[];
}

const { schedules, clipping } = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../fixtures/optim/optim.json"), "utf8"),
) as { readonly schedules: readonly Table[]; readonly clipping: readonly Clipped[] };

describe("schedules against transformers", () => {
  it.each(schedules)("$type over $totalSteps steps, warm-up $warmupSteps", (table) => {
    const factor = schedule(table.type, table.totalSteps, table.warmupSteps);
    table.rates.forEach((rate, step) => expect(factor(step), `step ${step}`).toBeCloseTo(rate, 12));
  });

  it("refuses a warm-up that is negative or that the schedule does not have", () => {
    expect(() => schedule("linear", 10, -1)).toThrow("warmup_steps = -1: must not be negative.");
    expect(() => schedule("linear", 10, NaN)).toThrow("warmup_steps");
    expect(() => schedule("constant", 10, 2)).toThrow(
      "warmup_steps = 2: the schedule constant has no warm-up. Use lr_scheduler_type constant_with_warmup.",
    );
  });
});

describe("clipping against PyTorch", () => {
  it.each(clipping)("norm $norm to $maxNorm", ({ norm, maxNorm, before, after }) => {
    const divisor = clipDivisor(norm, maxNorm);
    before.forEach((gradient, i) =>
      gradient.forEach((value, k) => {
        const expected = after[i]![k]!;
        expect(Math.abs(value / divisor - expected)).toBeLessThanOrEqual(3e-7 * Math.abs(expected));
      }),
    );
  });

  it("never clips to 0", () => {
    expect(clipDivisor(1e9, 0)).toBe(1);
  });
});
