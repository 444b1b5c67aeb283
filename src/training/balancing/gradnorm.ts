import { CraftError } from "../../errors.js";
import type { CarriedValues } from "../carried.js";
import type { MixtureFactors, WindowTasks } from "../mixture.js";
import { measured, type Balancer } from "./balanced_mixture.js";
import { balancerRate, TaskAdam } from "./task_adam.js";
import { TaskNumbers } from "./task_numbers.js";

const name = "log_weights";

/**
 * GradNorm (Chen et al. 2018): weights w that bring the tasks' gradients to norms by which they learn at the same
 * pace. With G = w |g| over the parameters that the tasks share, r a task's loss relative to that of its first window,
 * divided by the mean of these ratios, and bars for means over tasks, w is trained on
 *
 * sum over tasks of |G - mean(G) r^alpha|, the target held fixed,
 *
 * by Adam on log w, so that w stays above 0, with a rate of 0.025. After each step the weights are scaled so that they
 * sum to the number of tasks. They begin at 1; the window is weighed with what they were before it. A window that does
 * not have every task leaves them as they are.
 */
export class GradNormBalancer implements Balancer {
  readonly measures = true;
  readonly #alpha: number;
  readonly #tasks: readonly string[];
  readonly #logWeights: TaskAdam;
  /** NaN until the task occurs. */
  readonly #initial: TaskNumbers;

  /** @param alpha how strongly the task that learns more slowly is pulled; 0 makes all norms alike */
  constructor(tasks: readonly string[], alpha: number) {
    this.#alpha = alpha;
    this.#tasks = tasks;
    this.#logWeights = new TaskAdam(tasks, 0, balancerRate);
    this.#initial = new TaskNumbers(tasks, NaN);
  }

  /** @throws CraftError for a loss below 0, or of 0 in its first window, of which there is no ratio. */
  balance(window: WindowTasks, fixed: readonly number[]): MixtureFactors {
    const { tasks } = window;
    const weights = tasks.map((task) => Math.exp(this.#logWeights.numbers.get(task)));
    const ratios = tasks.map((task, k) => this.#ratio(task, window.losses[k]!));
    if (tasks.length === this.#tasks.length) this.#train(window, weights, ratios);
    const factors = weights.map((weight, k) => fixed[k]! * weight);
    return { losses: factors, gradients: factors };
  }

  #train({ tasks, gradients }: WindowTasks, weights: readonly number[], ratios: readonly number[]): void {
    const norms = weights.map((weight, k) => weight * measured(gradients).sharedNorm(k));
    const mean = average(norms);
    const pace = average(ratios);
    // Where nothing is shared, or every loss is 0, there is nothing to compare.
    if (mean === 0 || pace === 0) return;
    tasks.forEach((task, k) => {
      const target = mean * (ratios[k]! / pace) ** this.#alpha;
      this.#logWeights.step(task, Math.sign(norms[k]! - target) * norms[k]!);
    });
    const { numbers } = this.#logWeights;
    const excess = Math.log(average(numbers.values.map(Math.exp)));
    numbers.map((value) => value - excess);
  }

  #ratio(task: string, loss: number): number {
    const known = this.#initial.get(task);
    if (Number.isNaN(known) ? loss <= 0 : loss < 0) {
      throw new CraftError({
        subject: `${task} loss`,
        value: loss,
        reason: "gradnorm compares each loss with its first one, and needs losses above 0",
        remedy: "Use loss_scale or pcgrad.",
      });
    }
    if (Number.isNaN(known)) this.#initial.set(task, loss);
    return loss / this.#initial.get(task);
  }

  state(): CarriedValues {
    return { numbers: { ...this.#logWeights.state(name), initial: this.#initial.values } };
  }

  restore(values: CarriedValues): void {
    this.#logWeights.restore(values, name);
    this.#initial.restore(values, "initial");
  }
}

const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
