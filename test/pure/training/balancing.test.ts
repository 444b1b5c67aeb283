/** @file Balancers, by hand and against PyTorch (parity/balancing.py). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  BalancedMixture,
  GradNormBalancer,
  LossScaleBalancer,
  PCGradBalancer,
  TaskGradients,
  UncertaintyBalancer,
  type Balancer,
  type Mixture,
  type WindowTasks,
} from "../../../src/training/index.js";

interface FixtureWindow {
  readonly tasks: readonly string[];
  readonly losses: readonly number[];
  /** [task][parameter][number] */
  readonly gradients: readonly (readonly (readonly number[])[])[];
  readonly loss: number;
  readonly step: readonly number[];
}
interface Fixture {
  readonly tasks: readonly string[];
  readonly factors: Readonly<Record<string, number>>;
  readonly alpha: number;
  readonly momentum: number;
  readonly clip: number;
  readonly cases: readonly {
    readonly balancing: string;
    readonly clip: boolean;
    readonly windows: readonly FixtureWindow[];
  }[];
}
const fixture = JSON.parse(readFileSync("test/fixtures/training/balancing.json", "utf8")) as Fixture;

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** What a window shows of gradients, [task][parameter][number]. */
const inner = (gradients: FixtureWindow["gradients"]): TaskGradients =>
  new TaskGradients(gradients.map((a) => gradients.map((b) => a.map((part, p) => dot(part, b[p]!)))));

const shown = ({ tasks, losses, gradients }: Omit<FixtureWindow, "loss" | "step">): WindowTasks => ({
  tasks,
  losses,
  gradients: inner(gradients),
});

/** The gradient and the loss of a step. */
function step(mixture: Mixture, window: Omit<FixtureWindow, "loss" | "step">) {
  const factors = mixture.factors(shown(window));
  const flat = window.gradients.map((parts) => parts.flat());
  return {
    gradient: flat[0]!.map((_, i) =>
      dot(
        factors.gradients,
        flat.map((of) => of[i]!),
      ),
    ),
    loss: dot(factors.losses, window.losses),
    factors,
  };
}

const makers: Readonly<Record<string, (tasks: readonly string[]) => Balancer | undefined>> = {
  none: () => undefined,
  loss_scale: (tasks) => new LossScaleBalancer(tasks, fixture.momentum),
  uncertainty: (tasks) => new UncertaintyBalancer(tasks),
  gradnorm: (tasks) => new GradNormBalancer(tasks, fixture.alpha),
  pcgrad: () => new PCGradBalancer(),
};

const mixtureOf = (balancing: string, clip: boolean): BalancedMixture =>
  new BalancedMixture({
    factors: fixture.factors,
    balancer: makers[balancing]!(fixture.tasks),
    ...(clip ? { clip: fixture.clip } : {}),
  });

describe.each(fixture.cases)("$balancing, clip $clip", ({ balancing, clip, windows }) => {
  it("makes the steps that PyTorch makes", () => {
    const mixture = mixtureOf(balancing, clip);
    for (const [i, window] of windows.entries()) {
      const { gradient, loss } = step(mixture, window);
      gradient.forEach((value, k) => expect(value, `step ${i}, number ${k}`).toBeCloseTo(window.step[k]!, 9));
      expect(loss).toBeCloseTo(window.loss, 9);
    }
  });

  it("goes on from what it saved", () => {
    const through = mixtureOf(balancing, clip);
    const factors = windows.map((window) => through.factors(shown(window)));
    const first = mixtureOf(balancing, clip);
    for (const window of windows.slice(0, 3)) first.factors(shown(window));
    const second = mixtureOf(balancing, clip);
    second.restore(structuredClone(first.state()));
    expect(windows.slice(3).map((window) => second.factors(shown(window)))).toEqual(factors.slice(3));
  });
});

describe("by hand", () => {
  const tasks = ["sft", "contrastive"];
  const factors = { sft: 1, contrastive: 1 };
  const two = (a: readonly number[], b: readonly number[], losses: readonly number[] = [2, 1]) => ({
    tasks,
    losses,
    gradients: [a.map((x) => [x]), b.map((x) => [x])],
  });

  it("pcgrad takes out what opposes, and leaves what agrees", () => {
    const mixture = new BalancedMixture({ factors, balancer: new PCGradBalancer() });
    // (1, 0) and (-1, 1): to (1/2, 1/2) and (0, 1).
    expect(step(mixture, two([1, 0], [-1, 1])).gradient).toEqual([0.5, 1.5]);
    expect(step(mixture, two([1, 0], [1, 1])).gradient).toEqual([2, 1]);
    // Opposite gradients leave nothing; one that is 0 is left alone.
    expect(step(mixture, two([1, 1], [-2, -2])).gradient).toEqual([0, 0]);
    expect(step(mixture, two([1, 1], [0, 0])).gradient).toEqual([1, 1]);
    const weighed = new BalancedMixture({
      factors: { sft: 0.75, contrastive: 0.25 },
      balancer: new PCGradBalancer(),
    });
    const result = step(weighed, two([1, 0], [-1, 1]));
    expect(result.gradient).toEqual([0.75 * 0.5, 0.75 * 0.5 + 0.25]);
    // Losses count as without it.
    expect(result.loss).toBe(0.75 * 2 + 0.25 * 1);
  });

  it("a limit for each task scales down those above it alone", () => {
    const mixture = new BalancedMixture({ factors: { sft: 0.5, contrastive: 2 }, clip: 1 });
    const { gradient, loss } = step(mixture, two([3, 4], [0.6, 0]));
    expect(gradient[0]).toBeCloseTo(0.5 * 0.6 + 2 * 0.6, 5);
    expect(gradient[1]).toBeCloseTo(0.5 * 0.8, 5);
    expect(loss).toBe(0.5 * 2 + 2 * 1);
    expect(() => new BalancedMixture({ factors, clip: 0 })).toThrow("clip = 0: must be above 0");
  });

  it("loss_scale weighs by 1 / mean loss, over all tasks that have occurred", () => {
    const mixture = new BalancedMixture({ factors, balancer: new LossScaleBalancer(tasks, 0.5) });
    expect(mixture.measures).toBe(false);
    const seen = (names: readonly string[], losses: readonly number[]) =>
      mixture.factors({ tasks: names, losses, gradients: undefined }).gradients;
    expect(seen(["sft"], [4])).toEqual([1]);
    // Means 4 and 1: 1/4 and 1, to a sum of 2.
    expect(seen(tasks, [4, 1])).toEqual([0.4, 1.6]);
    // Means 3 and 1: the task that is missing keeps its share.
    expect(seen(["sft"], [2])).toEqual([0.5]);
    // A loss below 0, as of a policy, counts by its size: means 3 and 1.
    expect(seen(tasks, [-3, 1])).toEqual([0.5, 1.5]);
  });

  it("uncertainty begins at 1/2 and moves towards 1 / (2 loss), whatever the fixed factors are", () => {
    const mixture = new BalancedMixture({
      factors: { sft: 0.5, contrastive: 2 },
      balancer: new UncertaintyBalancer(tasks),
    });
    const window: WindowTasks = { tasks, losses: [4, 0.25], gradients: undefined };
    expect(mixture.factors(window).gradients).toEqual([0.25, 1]);
    // Adam's first step is its whole rate: v is 0.025 and -0.025.
    const [a, b] = mixture.factors(window).gradients;
    expect(a).toBeCloseTo(0.25 * Math.exp(-0.025), 8);
    expect(b).toBeCloseTo(Math.exp(0.025), 8);
    let last: readonly number[] = [];
    for (let i = 0; i < 1500; i++) last = mixture.factors(window).gradients;
    expect(last[0]).toBeCloseTo(0.5 / 8, 3);
    expect(last[1]).toBeCloseTo(2 * 2, 3);
    expect(() => mixture.factors({ ...window, losses: [-1, 1] })).toThrow(
      "sft loss = -1: uncertainty weighting is for losses that cannot fall below 0",
    );
  });

  it("gradnorm brings the norms together where the tasks learn at one pace", () => {
    const mixture = new BalancedMixture({ factors, balancer: new GradNormBalancer(tasks, 1.5) });
    const window = two([3, 0], [0, 1]);
    // On what both share: the second number is the second task's alone, and the first one's third counts for nothing.
    const shared = {
      ...window,
      gradients: [
        [[3], [0], [50]],
        [[1], [9], [0]],
      ],
    };
    expect(step(mixture, shared).factors.gradients).toEqual([1, 1]);
    let last: readonly number[] = [];
    for (let i = 0; i < 400; i++) last = step(mixture, shared).factors.gradients;
    expect(last[0]! * 3).toBeCloseTo(last[1]! * 1, 1);
    expect(last[0]! + last[1]!).toBeCloseTo(2, 9);
    expect(() => step(mixture, { ...shared, losses: [-1, 1] })).toThrow("needs losses above 0");
    expect(() => mixture.factors({ tasks, losses: [1, 1], gradients: undefined })).toThrow(
      "no inner products",
    );
  });

  it("gradnorm gives more to the task that learns more slowly", () => {
    const mixture = new BalancedMixture({ factors, balancer: new GradNormBalancer(tasks, 1) });
    step(mixture, two([1], [1], [2, 2]));
    let last: readonly number[] = [];
    // The losses fall to a quarter and to three quarters: ratios 1/2 and 3/2 of their mean.
    for (let i = 0; i < 600; i++) last = step(mixture, two([1], [1], [0.5, 1.5])).factors.gradients;
    expect(last[1]! / last[0]!).toBeCloseTo(3, 1);
  });

  it("refuses tasks that it was not made for, and what another one saved", () => {
    const balancer = new LossScaleBalancer(["sft"], 0.9);
    expect(() => balancer.balance({ tasks: ["dpo"], losses: [1], gradients: undefined }, [1])).toThrow(
      "balancer = dpo: was not made for this task. It knows sft.",
    );
    expect(() => balancer.restore({ numbers: { means: [1, 2] } })).toThrow("saved means = 2");
  });
});
