/** @file Point 3 of the semantics, length strategies: what happens where the two kinds of data do not end together. */
import { describe, expect, it } from "vitest";
import { lengthStrategies, mixingSchedule } from "../../../src/craft/data/schedule.js";
import { plan, windows } from "./windows.js";

describe("oversample", () => {
  it("goes through a short contrastive dataset again: 10 SFT, 2 contrastive batches", () => {
    const schedule = plan(10, 2, { beta: 0.75, gradientAccumulationSteps: 4 });
    expect(windows(schedule)).toEqual(["sssc", "sssc", "sssc", "sc"]);
    expect(schedule.epoch).toEqual({ sft: 10, contrastive: 4 });
    expect(schedule.restarts).toBe(false);
  });

  it("goes on with a long contrastive dataset in the next epoch: 10 SFT, 50 contrastive batches", () => {
    const schedule = plan(10, 50, { beta: 0.5, gradientAccumulationSteps: 4 });
    expect(windows(schedule)).toEqual(["sscc", "sscc", "sscc", "sscc", "sscc"]);
    expect(schedule.restarts).toBe(false);
  });

  it("gives a short last window its share: two of three SFT batches go with 4/3 of two contrastive ones", () => {
    expect(windows(plan(5, 9, { beta: 0.6, gradientAccumulationSteps: 5 }))).toEqual(["ssscc", "ssc"]);
  });

  it("runs one of each kind when a step is one micro-batch, and says so once", () => {
    const schedule = plan(3, 2, { beta: 0.9, gradientAccumulationSteps: 1 });
    expect(windows(schedule)).toEqual(["sc", "sc", "sc"]);
    expect(schedule.notices).toEqual([
      "gradientAccumulationSteps = 1: every step runs one SFT and one contrastive micro-batch, whatever beta is",
    ]);
  });

  it("says that beta cannot be had when a window is too short for it", () => {
    expect(plan(3, 2, { beta: 0.3, gradientAccumulationSteps: 4 }).notices).toEqual([]);
    expect(plan(3, 2, { beta: 0.95, gradientAccumulationSteps: 20 }).notices).toEqual([]);
    expect(plan(3, 2, { beta: 0.99, gradientAccumulationSteps: 4 }).notices).toEqual([
      "beta = 0.99 with 4 micro-batches a step acts as 0.75: every step has at least one of each kind",
    ]);
  });

  it("leaves one kind out at the ends of beta", () => {
    expect(windows(plan(5, 3, { beta: 1, gradientAccumulationSteps: 2 }))).toEqual(["ss", "ss", "s"]);
    expect(windows(plan(5, 3, { beta: 0, gradientAccumulationSteps: 2 }))).toEqual(["cc", "c"]);
  });
});

describe("cap", () => {
  it("stops when the contrastive batches end", () => {
    const schedule = plan(100, 5, { beta: 0.25, gradientAccumulationSteps: 4, lengthStrategy: "cap" });
    // One SFT to three contrastive: 5 = 3 + 2; a window of 2 of 3 keeps max(1, 2/3) SFT batches.
    expect(windows(schedule)).toEqual(["sccc", "scc"]);
    expect(schedule.restarts).toBe(true);
    expect(schedule.notices).toEqual(["lengthStrategy = cap: each epoch leaves out 98 of 100 SFT batches"]);
  });

  it("stops when the SFT batches end", () => {
    const schedule = plan(7, 9, { beta: 0.6, gradientAccumulationSteps: 5, lengthStrategy: "cap" });
    // 7 = 3 + 3 + 1; one of three SFT batches goes with 2/3 -> 1 of two contrastive ones.
    expect(windows(schedule)).toEqual(["ssscc", "ssscc", "sc"]);
    expect(schedule.notices).toEqual([
      "lengthStrategy = cap: each epoch leaves out 4 of 9 contrastive batches",
    ]);
  });

  it("stops there too with an automatic beta", () => {
    // 100 SFT and 20 contrastive batches need 34 windows of four, each with one contrastive: they end after 20.
    const options = {
      beta: 0.5,
      betaMode: "auto",
      lengthStrategy: "cap",
      gradientAccumulationSteps: 4,
    } as const;
    const schedule = plan(100, 20, options);
    expect([schedule.windows, schedule.epoch.contrastive]).toEqual([20, 20]);
  });
});

describe("error", () => {
  it("names both counts before training", () => {
    expect(() => plan(3, 4, { beta: 0.5, gradientAccumulationSteps: 2, lengthStrategy: "error" })).toThrow(
      "lengthStrategy = error: there are 3 SFT batches and 4 contrastive batches. Make them equal",
    );
    const equal = plan(4, 4, { beta: 0.5, gradientAccumulationSteps: 2, lengthStrategy: "error" });
    expect(windows(equal)).toEqual(["sc", "sc", "sc", "sc"]);
  });
});

describe("every schedule", () => {
  it("has at least one of each kind in each window, no window too long, and each SFT batch once", () => {
    let checked = 0;
    for (const lengthStrategy of lengthStrategies) {
      for (const betaMode of ["fixed", "auto"] as const) {
        for (const beta of [0.05, 0.5, 0.6, 0.9]) {
          for (let steps = 1; steps <= 7; steps++) {
            for (const [s, c] of [
              [1, 1],
              [1, 9],
              [9, 1],
              [7, 5],
              [20, 20],
              [13, 31],
              [97, 61],
              [40, 200],
            ] as const) {
              if (lengthStrategy === "error" && s !== c) continue;
              const schedule = plan(s, c, {
                beta,
                betaMode,
                lengthStrategy,
                gradientAccumulationSteps: steps,
              });
              const all = windows(schedule);
              const name = JSON.stringify({ lengthStrategy, betaMode, beta, steps, s, c });
              expect(
                all.every((window) => /^s+c+$/.test(window)),
                name,
              ).toBe(true);
              expect(Math.max(...all.map((window) => window.length)), name).toBeLessThanOrEqual(
                Math.max(steps, 2),
              );
              const [sft, contrastive] = [
                all.join("").split("s").length - 1,
                all.join("").split("c").length - 1,
              ];
              expect({ sft, contrastive }, name).toEqual(schedule.epoch);
              if (lengthStrategy === "cap")
                expect(sft <= s && contrastive <= c && (sft === s || contrastive === c), name).toBe(true);
              else expect(sft, name).toBe(s);
              checked += 1;
            }
          }
        }
      }
    }
    expect(checked).toBe(3 * 2 * 4 * 7 * 8 + 2 * 4 * 7 * 2);
  });

  it("refuses what it does not know", () => {
    const options = { sftBatches: 1, contrastiveBatches: 1, beta: 0.5, gradientAccumulationSteps: 2 };
    expect(
      () => Reflect.apply(mixingSchedule, undefined, [{ ...options, lengthStrategy: "loop" }]) as unknown,
    ).toThrow('lengthStrategy = loop: must be one of "oversample", "cap", "auto_beta", "error".');
    expect(() => mixingSchedule({ ...options, gradientAccumulationSteps: 0 })).toThrow(
      "gradientAccumulationSteps = 0: must be an integer of at least 1.",
    );
  });
});
