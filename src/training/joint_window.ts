/** @file One optimiser step's worth of micro-batches whose tasks share their backward passes. */
import { compile, HostTensor, stack, sum, type Tensor } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { accumulate, finished, squared, widened } from "./gradient_sums.js";
import type { MicroBatchKey, MicroBatchRunner } from "./micro_batch.js";
import type { Mixture } from "./mixture.js";
import { TaskTotals, type TaskTotal } from "./task_totals.js";
import type { MixedGradient } from "./window.js";

/** What is known of a window before it is computed. */
export interface JointPlan {
  /** The weight of each task over the window. */
  readonly weights: Readonly<Record<string, number>>;
  /** What its mean gradient counts. */
  readonly factors: Readonly<Record<string, number>>;
  /** The quotient of both: what its summed loss is multiplied by. */
  readonly scales: Readonly<Record<string, number>>;
}

/**
 * Plans a window whose tasks share backward passes.
 *
 * @param weights of the tasks of each micro-batch; undefined where they are not known beforehand
 * @returns undefined where no micro-batch serves several tasks, so that nothing would be saved, where factors or weights
 *   are not known beforehand, and where a task counts for nothing.
 */
export function planJointly(
  weights: readonly (Readonly<Record<string, number>> | undefined)[],
  mixture: Mixture,
): JointPlan | undefined {
  const total: Record<string, number> = {};
  let shared = false;
  for (const own of weights) {
    if (own === undefined) return undefined;
    shared ||= Object.keys(own).length > 1;
    for (const [task, weight] of Object.entries(own)) total[task] = (total[task] ?? 0) + weight;
  }
  const tasks = Object.keys(total);
  const constants = shared ? mixture.constants?.(tasks) : undefined;
  if (constants === undefined) return undefined;
  const scales = tasks.map((task, k) => constants[k]! / total[task]!);
  if (!scales.every((scale) => Number.isFinite(scale) && scale !== 0)) return undefined;
  const byTask = (values: readonly number[]): Record<string, number> =>
    Object.fromEntries(tasks.map((task, k) => [task, values[k]!]));
  return { weights: total, factors: byTask(constants), scales: byTask(scales) };
}

/** Squares of the norms of each task's summed gradient: of those apart, and of what is left of the joint one. */
const measured = compile(
  (joint: readonly Tensor[], apart: readonly (readonly Tensor[])[], scales: readonly Tensor[]) => {
    const squares = joint.map((gradient, i) => {
      const others = apart.map((own) => widened(own[i]!));
      const wide = widened(gradient);
      const left = others.reduce((rest, own, k) => rest.sub(own.mul(scales[k]!.to(own.dtype))), wide);
      return [left, ...others].map(squared);
    });
    return squares[0]!.map((_, k) => sum(stack(squares.map((of) => of[k]!))));
  },
);

/**
 * Weighs the tasks' losses before the backward pass, so that one pass gives the mixed gradient of a micro-batch that
 * serves several of them. The gradient of a step is the same as {@link Window}'s but for rounding.
 *
 * The norms of the tasks' gradients take a further pass for each task but one, and are there where they are asked for.
 */
export class JointWindow {
  readonly #plan: JointPlan;
  readonly #apart: readonly string[];
  readonly #totals = new TaskTotals();
  #gradients: DeviceTensor[] | undefined;
  readonly #own = new Map<string, DeviceTensor[]>();

  /** @param measures whether norms of the tasks' gradients are wanted */
  constructor(plan: JointPlan, measures: boolean) {
    this.#plan = plan;
    this.#apart = measures ? Object.keys(plan.weights).slice(1) : [];
  }

  /** Computes a micro-batch and takes it up. */
  async train<Batch>(
    runner: MicroBatchRunner<Batch>,
    batch: Batch,
    key: MicroBatchKey,
  ): Promise<Readonly<Record<string, TaskTotal>>> {
    const { terms, gradients, apart } = await runner.trainJointly(batch, key, this.#plan.scales, this.#apart);
    this.#totals.add(terms);
    for (const [task, own] of Object.entries(apart)) {
      const sofar = this.#own.get(task);
      this.#own.set(task, sofar === undefined ? own : await accumulate(sofar, own));
    }
    const sofar = this.#gradients;
    this.#gradients = sofar === undefined ? gradients : await accumulate(sofar, gradients);
    return terms;
  }

  get totals(): ReadonlyMap<string, TaskTotal> {
    return this.#totals.all;
  }

  /** As {@link Window.mix} does it. Empties the window of its gradients. */
  async mix(): Promise<MixedGradient> {
    const { weights, factors } = this.#plan;
    for (const [task, weight] of Object.entries(weights)) {
      const found = this.#totals.weightOf(task);
      if (found !== weight)
        throw new Error(`The weight of ${task} was counted as ${weight} and computed as ${found}.`);
    }
    const loss = Object.entries(factors).reduce(
      (total, [task, factor]) => total + factor * this.#totals.meanOf(task),
      0,
    );
    const taskNorms = await this.#norms();
    const joint = this.#gradients!;
    this.#gradients = undefined;
    const { gradients, squared: square } = await finished(joint);
    return { loss, gradients, divisor: 1, norm: Math.sqrt(take(square)), taskNorms, factors };
  }

  async #norms(): Promise<Record<string, number>> {
    const { weights, scales } = this.#plan;
    if (this.#apart.length === 0) return {};
    const apart = this.#apart.map((task) => this.#own.get(task)!);
    const squares = await measured(
      this.#gradients!,
      apart,
      this.#apart.map((task) => new HostTensor([scales[task]!], [], "float64")),
    );
    const [first, ...others] = squares.map((square) => Math.sqrt(take(square)));
    const rest = Object.keys(weights)[0]!;
    const entries = this.#apart.map((task, k): [string, number] => [task, others[k]! / weights[task]!]);
    return { [rest]: first! / (scales[rest]! * weights[rest]!), ...Object.fromEntries(entries) };
  }

  /** Frees what is left, after an error too. */
  dispose(): void {
    for (const gradients of [this.#gradients ?? [], ...this.#own.values()])
      for (const gradient of gradients) gradient.dispose();
    this.#gradients = undefined;
    this.#own.clear();
  }
}

function take(tensor: DeviceTensor): number {
  const value = tensor.item();
  tensor.dispose();
  return value;
}
