/** @file Point 2 of the semantics, beta: how a window is divided between the two kinds of micro-batches. */
import { describe, expect, it } from "vitest";
import { roundHalfToEven, splitWindow } from "../../../src/craft/data/schedule.js";
import { plan, windows } from "./windows.js";

describe("splitWindow", () => {
  it.each([
    [0.75, 4, "sssc"],
    [0.6, 8, "sssssccc"], // 4.8 -> 5
    [0.5, 5, "ssccc"], // 2.5 -> 2, as Python rounds
    [0.7, 5, "ssssc"], // 3.5 -> 4
    [0.1, 4, "sccc"], // 0.4 -> 0 -> at least 1
    [0.95, 4, "sssc"], // 3.8 -> 4 -> leaves at least 1
    [0.5, 1, "sc"],
    [0.99, 1, "sc"],
    [1, 3, "sss"],
    [0, 3, "ccc"],
    [1, 1, "s"],
  ])("beta %f of %i micro-batches is %s", (beta, steps, expected) => {
    const { sft, contrastive } = splitWindow(beta, steps);
    expect("s".repeat(sft) + "c".repeat(contrastive)).toBe(expected);
  });

  it.each([-0.1, 1.1, Number.NaN])("refuses beta %s", (beta) => {
    expect(() => splitWindow(beta, 4)).toThrow("must be a number from 0 to 1");
  });

  it("rounds halves to even", () => {
    expect([0.5, 1.5, 2.5, 3.5, 2.49, 2.51].map(roundHalfToEven)).toEqual([0, 2, 2, 4, 2, 3]);
  });
});

describe("auto_beta", () => {
  it("takes beta from the numbers of batches: 60 and 40 in windows of five", () => {
    for (const mode of [{ lengthStrategy: "auto_beta" }, { betaMode: "auto" }] as const) {
      const schedule = plan(60, 40, { beta: 0.1, gradientAccumulationSteps: 5, ...mode });
      expect(schedule.beta).toBe(0.6);
      expect(windows(schedule)).toEqual(new Array<string>(20).fill("ssscc"));
      expect(schedule.notices).toEqual([]);
    }
  });

  it("lets both kinds end together, evenly spread: 100 and 20 in windows of eight", () => {
    const schedule = plan(100, 20, { beta: 0.5, lengthStrategy: "auto_beta", gradientAccumulationSteps: 8 });
    expect(schedule.epoch).toEqual({ sft: 100, contrastive: 20 });
    // 15 windows of 8 hold 120: 10 times 7 + 1 and 5 times 6 + 2.
    const counted = windows(schedule);
    expect(counted.filter((window) => window === "sssssssc").length).toBe(10);
    expect(counted.filter((window) => window === "sssssscc").length).toBe(5);
    expect(schedule.notices).toEqual([]);
  });

  it("says so where one of each kind in every window forbids that", () => {
    const few = plan(100, 20, { beta: 0.5, lengthStrategy: "auto_beta", gradientAccumulationSteps: 4 });
    expect(few.epoch).toEqual({ sft: 100, contrastive: 34 });
    expect(few.notices).toEqual([
      "SFT and contrastive batches cannot end together: every step takes at least one of each kind of its 4, " +
        "so an epoch takes 100 SFT and 34 contrastive batches of 100 and 20",
    ]);
    const many = plan(5, 100, { beta: 0.5, lengthStrategy: "auto_beta", gradientAccumulationSteps: 4 });
    expect(windows(many)).toEqual(new Array<string>(5).fill("sccc"));
    expect(many.notices.length).toBe(1);
  });
});
