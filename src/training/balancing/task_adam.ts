import type { CarriedValues } from "../carried.js";
import { TaskNumbers } from "./task_numbers.js";

const [beta1, beta2, eps] = [0.9, 0.999, 1e-8];

/**
 * A number for each task, trained by Adam (Kingma & Ba 2015) on the host. They are no parameters of the run's
 * optimiser: its learning rate is made for weights, a thousand times too small for them, and clipping would mix them
 * with the model's gradient. A task that does not occur in a window keeps its number and its moments.
 */
export class TaskAdam {
  readonly numbers: TaskNumbers;
  readonly #rate: number;
  readonly #means: TaskNumbers;
  readonly #squares: TaskNumbers;
  readonly #steps: TaskNumbers;

  constructor(tasks: readonly string[], initial: number, rate: number) {
    this.numbers = new TaskNumbers(tasks, initial);
    this.#rate = rate;
    this.#means = new TaskNumbers(tasks, 0);
    this.#squares = new TaskNumbers(tasks, 0);
    this.#steps = new TaskNumbers(tasks, 0);
  }

  step(task: string, gradient: number): void {
    const mean = beta1 * this.#means.get(task) + (1 - beta1) * gradient;
    const square = beta2 * this.#squares.get(task) + (1 - beta2) * gradient * gradient;
    const steps = this.#steps.get(task) + 1;
    this.#means.set(task, mean);
    this.#squares.set(task, square);
    this.#steps.set(task, steps);
    const root = Math.sqrt(square / (1 - beta2 ** steps));
    const change = (this.#rate * mean) / (1 - beta1 ** steps) / (root + eps);
    this.numbers.set(task, this.numbers.get(task) - change);
  }

  state(name: string): NonNullable<CarriedValues["numbers"]> {
    return {
      [name]: this.numbers.values,
      means: this.#means.values,
      squares: this.#squares.values,
      steps: this.#steps.values,
    };
  }

  restore(values: CarriedValues, name: string): void {
    this.numbers.restore(values, name);
    this.#means.restore(values, "means");
    this.#squares.restore(values, "squares");
    this.#steps.restore(values, "steps");
  }
}

/** How far Adam moves a number of a balancer in a step, at most about. */
export const balancerRate = 0.025;
