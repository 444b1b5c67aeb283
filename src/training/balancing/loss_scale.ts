import type { CarriedValues } from "../carried.js";
import type { MixtureFactors, WindowTasks } from "../mixture.js";
import type { Balancer } from "./balanced_mixture.js";
import { TaskNumbers } from "./task_numbers.js";

/** A mean below this counts as this, so that a loss of 0 does not divide by it. */
const smallest = 1e-8;

/**
 * Each task counts by the reciprocal of a running mean of its loss, so that all of them are worth about the same as
 * they fall. With m = momentum m + (1 - momentum) |L| over the windows in which a task occurs, first m = |L|, its
 * weight is (1 / m) T / sum(1 / m), over the T tasks that have occurred so far: weights sum to T.
 */
export class LossScaleBalancer implements Balancer {
  readonly measures = false;
  readonly #momentum: number;
  /** NaN until the task occurs. */
  readonly #means: TaskNumbers;

  /** @param momentum share of the old mean that stays, in [0, 1) */
  constructor(tasks: readonly string[], momentum: number) {
    this.#momentum = momentum;
    this.#means = new TaskNumbers(tasks, NaN);
  }

  balance({ tasks, losses }: WindowTasks, fixed: readonly number[]): MixtureFactors {
    const means = this.#means;
    const momentum = this.#momentum;
    tasks.forEach((task, k) => {
      const size = Math.abs(losses[k]!);
      const mean = means.get(task);
      means.set(task, Number.isNaN(mean) ? size : momentum * mean + (1 - momentum) * size);
    });
    const inverse = (mean: number): number => 1 / Math.max(mean, smallest);
    const known = means.values.filter((mean) => !Number.isNaN(mean)).map(inverse);
    const unit = known.length / known.reduce((a, b) => a + b, 0);
    const factors = tasks.map((task, k) => fixed[k]! * unit * inverse(means.get(task)));
    return { losses: factors, gradients: factors };
  }

  state(): CarriedValues {
    return { numbers: { means: this.#means.values } };
  }

  restore(values: CarriedValues): void {
    this.#means.restore(values, "means");
  }
}
