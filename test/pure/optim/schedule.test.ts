/** @file Learning rates against transformers, clipping against PyTorch (parity/optim.py, parity/schedules.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  clipDivisor,
  learningRate,
  ReduceLROnPlateau,
  schedule,
  scheduleKwargs,
  schedulerTypes,
  type PlannedSchedulerType,
} from "../../../src/optim/index.js";

interface Table {
  readonly type: PlannedSchedulerType;
  readonly totalSteps: number;
  readonly warmupSteps: number;
  readonly rates: readonly number[];
}

interface WithOptions extends Table {
  readonly learningRate: number;
  readonly kwargs: Readonly<Record<string, unknown>>;
}

interface Plateau {
  readonly learningRate: number;
  readonly metrics: readonly number[];
  readonly runs: readonly {
    readonly kwargs: Readonly<Record<string, unknown>>;
    readonly rates: readonly number[];
  }[];
}

interface Clipped {
  readonly maxNorm: number;
  readonly norm: number;
  readonly before: readonly (readonly number[])[];
  readonly after: readonly (readonly number[])[];
}

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, "../../fixtures/optim", name), "utf8"));
const { schedules, clipping } = fixture("optim.json") as {
  readonly schedules: readonly Table[];
  readonly clipping: readonly Clipped[];
};
const { planned, plateau } = fixture("schedules.json") as {
  readonly planned: readonly WithOptions[];
  readonly plateau: Plateau;
};

describe("schedules against transformers", () => {
  it.each(schedules)("$type over $totalSteps steps, warm-up $warmupSteps", ({ type, rates, ...options }) => {
    const factor = schedule(type, options);
    rates.forEach((rate, step) => expect(factor(step), `step ${step}`).toBeCloseTo(rate, 12));
  });

  it.each(planned)(
    "$type over $totalSteps steps, warm-up $warmupSteps, $kwargs",
    ({ type, rates, ...options }) => {
      const rate = learningRate(type, options);
      rates.forEach((expected, step) => expect(rate.at(step), `step ${step}`).toBeCloseTo(expected, 12));
      expect(rate.state()).toBeNull();
    },
  );

  it("cover every schedule", () => {
    const tested = new Set<string>([...schedules, ...planned].map(({ type }) => type));
    expect(schedulerTypes.filter((type) => !tested.has(type))).toEqual(["reduce_lr_on_plateau"]);
  });

  it("refuses a warm-up that is negative or that the schedule does not have", () => {
    const warm = (type: PlannedSchedulerType, warmupSteps: number) => () =>
      schedule(type, { totalSteps: 10, warmupSteps });
    expect(warm("linear", -1)).toThrow("warmup_steps = -1: must not be negative.");
    expect(warm("linear", NaN)).toThrow("warmup_steps");
    expect(warm("constant", 2)).toThrow(
      "warmup_steps = 2: the schedule constant has no warm-up. Use lr_scheduler_type constant_with_warmup.",
    );
    expect(() =>
      learningRate("reduce_lr_on_plateau", { totalSteps: 10, warmupSteps: 2, learningRate: 1 }),
    ).toThrow("the schedule reduce_lr_on_plateau has no warm-up");
  });
});

describe("a rate that falls on plateaus, against PyTorch", () => {
  it.each(plateau.runs)("$kwargs", ({ kwargs, rates }) => {
    const rate = new ReduceLROnPlateau(plateau.learningRate, kwargs);
    plateau.metrics.forEach((metric, i) => {
      rate.observe(metric);
      expect(rate.rate, `after ${i + 1}`).toBeCloseTo(rates[i]!, 12);
    });
  });

  it.each(plateau.runs)("$kwargs, going on from any state", ({ kwargs, rates }) => {
    plateau.metrics.forEach((_, saved) => {
      const first = new ReduceLROnPlateau(plateau.learningRate, kwargs);
      for (const metric of plateau.metrics.slice(0, saved)) first.observe(metric);
      const second = new ReduceLROnPlateau(1, kwargs);
      second.restore(JSON.parse(JSON.stringify(first.state())) as ReturnType<typeof first.state>);
      for (const metric of plateau.metrics.slice(saved)) second.observe(metric);
      expect(second.rate).toBeCloseTo(rates.at(-1)!, 12);
    });
  });
});

describe("options of schedules", () => {
  it.each([
    [
      "linear",
      { num_cycles: 2 },
      "lr_scheduler_kwargs.num_cycles: the schedule linear has no such option. It has none.",
    ],
    [
      "polynomial",
      { lr_ned: 0 },
      "lr_scheduler_kwargs.lr_ned: the schedule polynomial has no such option. It has lr_end, power.",
    ],
    ["polynomial", { lr_end: 1 }, "lr_scheduler_kwargs.lr_end = 1: must be below learning_rate, which is 1."],
    ["polynomial", { power: 0 }, "lr_scheduler_kwargs.power = 0: "],
    [
      "cosine_with_min_lr",
      {},
      "lr_scheduler_kwargs: the schedule cosine_with_min_lr needs min_lr or min_lr_rate. Give one of both.",
    ],
    ["cosine_with_min_lr", { min_lr: 0.1, min_lr_rate: 0.1 }, "say the same thing twice"],
    [
      "cosine_warmup_with_min_lr",
      { minLr: 2 },
      "lr_scheduler_kwargs.min_lr = 2: must be below learning_rate",
    ],
    [
      "warmup_stable_decay",
      {},
      "lr_scheduler_kwargs.num_decay_steps: is needed by the schedule warmup_stable_decay.",
    ],
    ["warmup_stable_decay", { num_decay_steps: 99 }, "these are more than the 10 steps of the run"],
    [
      "warmup_stable_decay",
      { num_decay_steps: 2, decay_type: "steep" },
      "lr_scheduler_kwargs.decay_type = steep: ",
    ],
    ["inverse_sqrt", { timescale: 0 }, "lr_scheduler_kwargs.timescale = 0: "],
  ] as const)("%s refuses %o", (type, kwargs, message) => {
    expect(() => schedule(type, { totalSteps: 10, kwargs })).toThrow(message);
  });

  it("have transformers' defaults, in both spellings", () => {
    expect(scheduleKwargs("reduce_lr_on_plateau", { threshold_mode: "abs", minLr: 0.5 })).toEqual({
      mode: "min",
      factor: 0.1,
      patience: 10,
      threshold: 1e-4,
      thresholdMode: "abs",
      cooldown: 0,
      minLr: 0.5,
      eps: 1e-8,
    });
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
