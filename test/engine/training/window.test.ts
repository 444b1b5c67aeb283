/** @file The gradient of a step out of its micro-batches, by hand. */
import { beforeAll, describe, expect, it } from "vitest";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import type { TermResult } from "../../../src/training/micro_batch.js";
import { FixedMixture, type WindowTasks } from "../../../src/training/mixture.js";
import { Window } from "../../../src/training/window.js";

beforeAll(() => loadTorch());

/** A task's share of a micro-batch whose gradients are a vector of two and a single number. */
const term = (sum: number, weight: number, gradient: readonly [number, number, number]): TermResult => ({
  sum,
  weight,
  metrics: { hits: weight / 2 },
  gradients: [
    DeviceTensor.fromHost(gradient.slice(0, 2), [2], "float32"),
    DeviceTensor.full([], gradient[2]),
  ],
});

async function mix(window: Window, factors: Readonly<Record<string, number>>) {
  const { loss, gradients, divisor, norm, taskNorms } = await window.mix(new FixedMixture(factors));
  const values = gradients.flatMap((tensor) => tensor.toNumbers().map((value) => value / divisor));
  for (const gradient of gradients) gradient.dispose();
  return { loss, values, norm, taskNorms };
}

const expectNear = (actual: readonly number[], expected: readonly number[]): void => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
};

describe("a window", () => {
  it("of one task divides the summed gradient by the summed weight", async () => {
    const window = new Window();
    await window.add({ sft: term(6, 3, [3, 0, 9]) });
    await window.add({ sft: term(4, 1, [1, 4, -1]) });
    expect(window.totals.get("sft")).toEqual({ sum: 10, weight: 4, metrics: { hits: 2 } });
    const { loss, values, norm, taskNorms } = await mix(window, { sft: 1 });
    expect(loss).toBe(2.5);
    expectNear(values, [1, 1, 2]);
    expect(norm).toBeCloseTo(Math.sqrt(6), 5);
    expect(taskNorms["sft"]).toBeCloseTo(Math.sqrt(6), 5);
  });

  it("of one task of a mixture counts by its factor", async () => {
    const window = new Window();
    await window.add({ sft: term(6, 2, [2, 4, 4]) });
    const { loss, values, norm, taskNorms } = await mix(window, { sft: 0.25 });
    expect(loss).toBe(0.75);
    expectNear(values, [0.25, 0.5, 0.5]);
    expect(norm).toBeCloseTo(0.75, 5);
    expect(taskNorms["sft"]).toBeCloseTo(3, 5);
  });

  it("of two tasks adds factor times mean gradient, also for weights below 1", async () => {
    const window = new Window();
    await window.add({ sft: term(6, 4, [4, 0, 8]), contrastive: term(1, 0.5, [1, 2, 2]) });
    await window.add({ sft: term(2, 4, [4, 8, 0]) });
    const factors = { sft: 0.75, contrastive: 0.25 };
    const { loss, values, norm, taskNorms } = await mix(window, factors);
    expect(loss).toBe(0.75 * 1 + 0.25 * 2);
    expectNear(values, [0.75 * 1 + 0.25 * 2, 0.75 * 1 + 0.25 * 4, 0.75 * 1 + 0.25 * 4]);
    expect(norm).toBeCloseTo(Math.hypot(1.25, 1.75, 1.75), 5);
    expectNear([taskNorms["sft"]!, taskNorms["contrastive"]!], [Math.sqrt(3), 6]);
  });

  it("counts a task whose factor or weight is 0 for nothing", async () => {
    const window = new Window();
    await window.add({ sft: term(6, 2, [2, 4, 6]), contrastive: term(0, 0, [5, 5, 5]) });
    const { values, taskNorms } = await mix(window, { sft: 1, contrastive: 1 });
    expectNear(values, [1, 2, 3]);
    expect(taskNorms["contrastive"]).toBe(0);
    const other = new Window();
    await other.add({ sft: term(6, 2, [2, 4, 6]), contrastive: term(1, 1, [5, 5, 5]) });
    expectNear((await mix(other, { sft: 0, contrastive: 1 })).values, [5, 5, 5]);
    const alone = new Window();
    await alone.add({ sft: term(6, 2, [2, 4, 6]) });
    expectNear((await mix(alone, { sft: 0 })).values, [0, 0, 0]);
  });

  it("shows a mixture that asks for them mean losses and inner products by parameter", async () => {
    const before = liveTensors();
    const window = new Window();
    const half = term(3, 2, [2, 0, 4]);
    for (const [i, gradient] of half.gradients.entries()) {
      half.gradients[i] = DeviceTensor.fromHost(gradient.toNumbers(), gradient.shape, "bfloat16");
      gradient.dispose();
    }
    await window.add({ sft: half, contrastive: term(1, 4, [4, 8, 0]) });
    let shown: WindowTasks | undefined;
    const { loss, gradients, divisor, norm, taskNorms, factors } = await window.mix({
      measures: true,
      factors: (tasks) => {
        shown = tasks;
        return { losses: [1, 2], gradients: [0.5, 3] };
      },
    });
    // Mean gradients: (1, 0), 2 and (1, 2), 0.
    const { tasks, losses, gradients: inner } = shown!;
    expect([tasks, losses]).toEqual([
      ["sft", "contrastive"],
      [1.5, 0.25],
    ]);
    expect([inner!.product(0, 0), inner!.product(0, 1), inner!.product(1, 0)]).toEqual([5, 1, 1]);
    expect(inner!.norm(1)).toBeCloseTo(Math.sqrt(5), 6);
    expect([inner!.sharedNorm(0), inner!.scaled([3, 1]).sharedNorm(0)]).toEqual([1, 3]);
    expect([loss, factors]).toEqual([1.5 + 2 * 0.25, { sft: 0.5, contrastive: 3 }]);
    const values = gradients.flatMap((tensor) => tensor.toNumbers().map((value) => value / divisor));
    expectNear(values, [0.5 + 3, 6, 1]);
    expect(norm).toBeCloseTo(Math.hypot(3.5, 6, 1), 5);
    expectNear([taskNorms["sft"]!, taskNorms["contrastive"]!], [Math.sqrt(5), Math.sqrt(5)]);
    for (const gradient of gradients) gradient.dispose();
    expect(liveTensors()).toBe(before);
  });

  it("gives back what it holds", async () => {
    const before = liveTensors();
    const window = new Window();
    await window.add({ sft: term(6, 2, [2, 4, 6]) });
    await window.add({ sft: term(6, 2, [2, 4, 6]), contrastive: term(1, 1, [5, 5, 5]) });
    expect(liveTensors()).toBe(before + 4);
    window.dispose();
    expect(liveTensors()).toBe(before);
  });
});
