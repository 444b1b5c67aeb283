import { CraftError } from "../../errors.js";
import type { CarriedValues } from "../carried.js";
import type { MixtureFactors, WindowTasks } from "../mixture.js";
import type { Balancer } from "./balanced_mixture.js";
import { balancerRate, TaskAdam } from "./task_adam.js";

const name = "log_variances";

/**
 * Weights by learnt uncertainty (Kendall, Gal & Cipolla 2018): a task with the log-variance v counts by exp(-v) / 2,
 * and v is trained on exp(-v) L / 2 + v / 2, whose minimum is v = log L. Every v begins at 0, and is trained by Adam
 * with a rate of 0.025; the window is weighed with what v was before it. The fixed factors play no part in training v,
 * or they would cancel: the weight of a task would come to rest at 1 / (2 factor L).
 */
export class UncertaintyBalancer implements Balancer {
  readonly measures = false;
  readonly #logVariances: TaskAdam;

  constructor(tasks: readonly string[]) {
    this.#logVariances = new TaskAdam(tasks, 0, balancerRate);
  }

  /** @throws CraftError for a loss below 0, with which the log-variance has no minimum. */
  balance({ tasks, losses }: WindowTasks, fixed: readonly number[]): MixtureFactors {
    const factors = tasks.map((task, k) => {
      const loss = losses[k]!;
      if (loss < 0) throw negativeLoss(task, loss);
      const precision = Math.exp(-this.#logVariances.numbers.get(task));
      this.#logVariances.step(task, (1 - precision * loss) / 2);
      return (fixed[k]! * precision) / 2;
    });
    return { losses: factors, gradients: factors };
  }

  state(): CarriedValues {
    return { numbers: this.#logVariances.state(name) };
  }

  restore(values: CarriedValues): void {
    this.#logVariances.restore(values, name);
  }
}

const negativeLoss = (task: string, loss: number): CraftError =>
  new CraftError({
    subject: `${task} loss`,
    value: loss,
    reason:
      "uncertainty weighting is for losses that cannot fall below 0: the variance of this one has no best value",
    remedy: "Use loss_scale or pcgrad.",
  });
