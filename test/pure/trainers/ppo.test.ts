/** @file The arithmetic of PPO, derived by hand. */
import { describe, expect, it } from "vitest";
import { PPOConfig } from "../../../src/trainers/index.js";
import { generalisedAdvantages, klEstimate, whitened } from "../../../src/trainers/ppo/advantages.js";
import { KlController } from "../../../src/trainers/ppo/kl_controller.js";

describe("generalised advantages", () => {
  it("follow the recursion", () => {
    // delta = [1 + 0.5 * 2 - 1, 0 + 0.5 * 3 - 2, 4 + 0 - 3] = [1, -0.5, 1]
    // A_2 = 1, A_1 = -0.5 + 0.25 * 1 = -0.25, A_0 = 1 + 0.25 * -0.25 = 0.9375
    const found = generalisedAdvantages([1, 0, 4], [1, 2, 3], { gamma: 0.5, lam: 0.5 });
    expect(found.advantages).toEqual([0.9375, -0.25, 1]);
    expect(found.returns).toEqual([1.9375, 1.75, 4]);
  });

  it("are all rewards to come, less the value, for lambda 1, and one step of the values for lambda 0", () => {
    const all = generalisedAdvantages([1, 2, 3], [0.5, 0.25, 0], { gamma: 1, lam: 1 });
    expect(all.advantages).toEqual([5.5, 4.75, 3]);
    const one = generalisedAdvantages([1, 2, 3], [0.5, 0.25, 0], { gamma: 1, lam: 0 });
    expect(one.advantages).toEqual([0.75, 1.75, 3]);
    expect(generalisedAdvantages([], [], { gamma: 1, lam: 1 }).advantages).toEqual([]);
  });
});

describe("whitening", () => {
  it("gives mean 0 and variance 1 over all rows; or leaves the mean", () => {
    // Mean 3, variance (4 + 1 + 1 + 4) / 3.
    const scale = 1 / Math.sqrt(10 / 3 + 1e-8);
    const rows = whitened([[1, 2], [4], [5]]);
    [-2, -1, 1, 2].forEach((value, i) => expect(rows.flat()[i]).toBeCloseTo(value * scale, 12));
    expect(rows.map(({ length }) => length)).toEqual([2, 1, 1]);
    const kept = whitened([[1, 2], [4], [5]], false);
    [-2, -1, 1, 2].forEach((value, i) => expect(kept.flat()[i]).toBeCloseTo(value * scale + 3, 12));
  });

  it("leaves a single number, and gives equal ones 0", () => {
    expect(whitened([[7], []])).toEqual([[7], []]);
    expect(whitened([[2, 2]])).toEqual([[0, 0]]);
  });
});

it("estimates divergence", () => {
  expect(klEstimate("k1", -1, -3)).toBe(2);
  expect(klEstimate("k3", -1, -3)).toBeCloseTo(Math.exp(-2) + 2 - 1, 12);
  expect(klEstimate("k3", -3, -1)).toBeCloseTo(Math.exp(2) - 2 - 1, 12);
});

describe("the controller of divergence", () => {
  it("multiplies by 1 + clip(kl / target - 1) n / horizon", () => {
    const kl = new KlController({ initial: 0.2, target: 5, horizon: 100 });
    kl.update(0, 5.5, 10);
    expect(kl.value).toBeCloseTo(0.2 * (1 + 0.1 * 0.1), 12);
    kl.update(1, 50, 10);
    expect(kl.value).toBeCloseTo(0.2 * 1.01 * (1 + 0.2 * 0.1), 12);
    kl.update(2, 0, 10);
    expect(kl.value).toBeCloseTo(0.2 * 1.01 * 1.02 * (1 - 0.2 * 0.1), 12);
  });

  it("gives a rollout that is made again the coefficient that it had, and counts it once", () => {
    const kl = new KlController({ initial: 1, target: 1, horizon: 10 });
    expect(kl.valueFor(0)).toBe(1);
    kl.update(0, 9, 10);
    expect([kl.valueFor(0), kl.valueFor(1)]).toEqual([1, 1.2]);
    kl.update(0, 9, 10);
    expect(kl.value).toBe(1.2);
    const other = new KlController({ initial: 5, target: 1, horizon: 10 });
    other.restore(kl.state());
    expect([other.valueFor(0), other.valueFor(1)]).toEqual([1, 1.2]);
  });

  it("stays where it is without a target", () => {
    const kl = new KlController({ initial: 0.3, target: undefined, horizon: 10 });
    kl.update(0, 100, 100);
    expect(kl.value).toBe(0.3);
  });
});

describe("options", () => {
  it("have TRL's defaults", () => {
    const { values } = new PPOConfig();
    expect(values).toMatchObject({
      learningRate: 3e-6,
      numMiniBatches: 1,
      responseLength: 53,
      temperature: 0.7,
      numPpoEpochs: 4,
      whitenRewards: false,
      klCoef: 0.05,
      klEstimator: "k1",
      cliprange: 0.2,
      vfCoef: 0.1,
      cliprangeValue: 0.2,
      gamma: 1,
      lam: 0.95,
    });
  });

  it("turn episodes into steps of the optimiser", () => {
    const config = { per_device_train_batch_size: 4, gradient_accumulation_steps: 2, num_mini_batches: 3 };
    // Rollouts of 24 completions; 100 episodes are 5 of them, each 4 times 3 steps.
    expect(new PPOConfig({ ...config, total_episodes: 100 }).values.maxSteps).toBe(60);
  });

  it.each<[Record<string, unknown>, string]>([
    [
      { total_episodes: 10, max_steps: 5 },
      "total_episodes = 10: says how long the run is, and so does max_steps = 5.",
    ],
    [{ target: 3 }, "target = 3: has no effect: adap_kl_ctrl is not set."],
    [{ adap_kl_ctrl: true, kl_coef: 0 }, "kl_coef = 0: is what adap_kl_ctrl multiplies"],
    [{ kl_coef: 0, kl_estimator: "k3" }, "kl_estimator = k3: has no effect: kl_coef is 0."],
    [{ max_completion_length: 5 }, "PPOConfig, option max_completion_length: there is no such option."],
    [{ lam: 1.5 }, "lam = 1.5: "],
  ])("%j are refused", (options, message) => {
    expect(() => new PPOConfig(options)).toThrow(message);
  });
});
