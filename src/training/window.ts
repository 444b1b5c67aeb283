/** @file One optimiser step's worth of micro-batches: summed gradients for each task, then one mixed gradient. */
import { compile, HostTensor, lerp, stack, sum, type Tensor } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { accumulate, finished, squared, widened } from "./gradient_sums.js";
import type { MicroBatchKey, MicroBatchRunner, TermResult } from "./micro_batch.js";
import type { Mixture } from "./mixture.js";
import { TaskGradients } from "./task_gradients.js";
import { TaskTotals, type TaskTotal } from "./task_totals.js";

export interface MixedGradient {
  /** The tasks' mean losses, each times its factor. */
  readonly loss: number;
  /** One for each parameter; the receiver owns them. */
  readonly gradients: DeviceTensor[];
  /** What every gradient still has to be divided by; saves a pass over the numbers. */
  readonly divisor: number;
  /** Euclidean norm of the whole gradient, after the division. */
  readonly norm: number;
  /** Norm of each task's mean gradient, before its factor. */
  readonly taskNorms: Readonly<Record<string, number>>;
  /** What each task's mean gradient was multiplied by. */
  readonly factors: Readonly<Record<string, number>>;
}

/** Parameter by parameter, so that what is read twice is still in the cache. */
const mixed = compile(
  (tasks: readonly (readonly Tensor[])[], weights: Tensor, measuring: boolean) => {
    const squares: Tensor[][] = tasks.map(() => []);
    const squaresOfTotal: Tensor[] = [];
    const gradients = tasks[0]!.map((_, i) => {
      const shares = tasks.map((task) => widened(task[i]!));
      if (measuring) shares.forEach((share, k) => squares[k]!.push(squared(share)));
      const total = shares.reduce((a, b, k) => lerp(a, b, weights.select(0, k).to(a.dtype)));
      squaresOfTotal.push(squared(total));
      return total;
    });
    return {
      gradients,
      squared: sum(stack(squaresOfTotal)),
      tasks: measuring ? squares.map((of) => sum(stack(of))) : [],
    };
  },
  { donate: [0] },
);

/** For each two tasks i <= j, their inner products by parameter. */
const measured = compile((tasks: readonly (readonly Tensor[])[]) => {
  const flat = (gradient: Tensor): Tensor => widened(gradient).reshape([gradient.numel]);
  const products: Tensor[][][] = tasks.map((_, i) => tasks.slice(i).map(() => []));
  for (const p of tasks[0]!.keys()) {
    const shares = tasks.map((task) => flat(task[p]!));
    shares.forEach((a, i) => shares.slice(i).forEach((b, k) => products[i]![k]!.push(a.dot(b))));
  }
  return products.map((row) => row.map((of) => stack(of)));
});

/**
 * Weights with which a, b, c … are to be interpolated one after the other, so that the result is in proportion to
 * scales[0] a + scales[1] b + …; and the sum of the scales, by which it has to be multiplied.
 */
function interpolation(scales: readonly number[]): { readonly weights: number[]; readonly sum: number } {
  let sum = 0;
  const weights = scales.map((scale) => {
    sum += scale;
    return sum === 0 ? 0 : scale / sum;
  });
  return { weights, sum };
}

/** Collects the results of micro-batches. */
export class Window {
  readonly #totals = new TaskTotals();
  readonly #gradients = new Map<string, DeviceTensor[]>();

  /** Computes a micro-batch and takes it up. */
  async train<Batch>(
    runner: MicroBatchRunner<Batch>,
    batch: Batch,
    key: MicroBatchKey,
  ): Promise<Readonly<Record<string, TaskTotal>>> {
    const results = await runner.train(batch, key);
    await this.add(results);
    return results;
  }

  /** Takes over the gradients of a micro-batch. */
  async add(results: Readonly<Record<string, TermResult>>): Promise<void> {
    this.#totals.add(results);
    for (const [task, { gradients }] of Object.entries(results)) {
      const sofar = this.#gradients.get(task);
      this.#gradients.set(task, sofar === undefined ? gradients : await accumulate(sofar, gradients));
    }
  }

  get totals(): ReadonlyMap<string, TaskTotal> {
    return this.#totals.all;
  }

  /**
   * The sum over tasks of factor * (summed gradient / summed weight). Empties the window of its gradients. A task
   * whose weight is 0 has no gradient and adds nothing.
   */
  async mix(mixture: Mixture): Promise<MixedGradient> {
    const held = [...this.#gradients.keys()];
    const weightOf = (task: string): number => this.#totals.weightOf(task);
    const tasks = held.filter((task) => weightOf(task) > 0);
    const losses = tasks.map((task) => this.#totals.meanOf(task));
    const measures = mixture.measures ? await this.#measure(tasks) : undefined;
    const chosen = mixture.factors({ tasks, losses, gradients: measures });
    const factors = Object.fromEntries(tasks.map((task, k) => [task, chosen.gradients[k]!]));
    const loss = losses.reduce((sum, value, k) => sum + chosen.losses[k]! * value, 0);
    const gradients = held.map((task) => this.#gradients.get(task)!);
    this.#gradients.clear();
    const only = tasks[0];
    if (only !== undefined && held.length === 1 && factors[only]! !== 0) {
      const { gradients: kept, squared } = await finished(gradients[0]!);
      const divisor = weightOf(only) / factors[only]!;
      const root = Math.sqrt(take(squared));
      return {
        loss,
        gradients: kept,
        divisor,
        norm: root / Math.abs(divisor),
        taskNorms: { [only]: root / weightOf(only) },
        factors,
      };
    }
    const scales = held.map((task) => (weightOf(task) > 0 ? factors[task]! / weightOf(task) : 0));
    const { weights, sum: scale } = interpolation(scales);
    const result = await mixed(
      gradients,
      new HostTensor(weights, [held.length], "float64"),
      measures === undefined,
    );
    const roots = result.tasks.map((square) => Math.sqrt(take(square)));
    const norms = held.map((task, k): [string, number] => {
      if (weightOf(task) === 0) return [task, 0];
      return [task, measures?.norm(tasks.indexOf(task)) ?? roots[k]! / weightOf(task)];
    });
    return {
      loss,
      gradients: result.gradients,
      divisor: 1 / scale,
      norm: Math.sqrt(take(result.squared)) * scale,
      taskNorms: Object.fromEntries(norms),
      factors,
    };
  }

  async #measure(tasks: readonly string[]): Promise<TaskGradients> {
    if (tasks.length === 0) return new TaskGradients([]);
    const pairs = await measured(tasks.map((task) => this.#gradients.get(task)!));
    const weights = tasks.map((task) => this.#totals.weightOf(task));
    const means = pairs.map((row, i) =>
      row.map((of, k) => {
        const values = of.toNumbers().map((value) => value / (weights[i]! * weights[i + k]!));
        of.dispose();
        return values;
      }),
    );
    return new TaskGradients(
      tasks.map((_, i) => tasks.map((_, j) => means[Math.min(i, j)]![Math.abs(i - j)]!)),
    );
  }

  /** Frees what is left, after an error. */
  dispose(): void {
    for (const gradients of this.#gradients.values()) for (const g of gradients) g.dispose();
    this.#gradients.clear();
  }
}

function take(tensor: DeviceTensor): number {
  const value = tensor.item();
  tensor.dispose();
  return value;
}
