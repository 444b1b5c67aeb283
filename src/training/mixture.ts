import { CraftError } from "../errors.js";
import type { TaskGradients } from "./task_gradients.js";

/** What a mixture may look at: the tasks of a window, each with its mean loss. */
export interface WindowTasks {
  readonly tasks: readonly string[];
  /** One for each task: the sum of its losses over the window divided by its weight. */
  readonly losses: readonly number[];
  /** The tasks' mean gradients; there where {@link Mixture.measures} asks for them. */
  readonly gradients: TaskGradients | undefined;
}

/** One number for each task of a window. */
export interface MixtureFactors {
  /** Of its mean loss in the loss of the step. */
  readonly losses: readonly number[];
  /** Of its mean gradient in the gradient of the step. */
  readonly gradients: readonly number[];
}

/** Decides how much each task's mean gradient counts in a step. */
export interface Mixture {
  /** Whether {@link factors} looks at gradients, which takes one more pass over them. */
  readonly measures: boolean;
  /** Factors for the tasks of a window. Called once for each step; a mixture that learns does so here. */
  factors(window: WindowTasks): MixtureFactors;
  /** The same where no window changes them, so that they are known before it is computed. */
  constants?(tasks: readonly string[]): readonly number[];
}

/** Fixed factors. A task that is not named is refused; one that does not occur in a window adds nothing. */
export class FixedMixture implements Mixture {
  readonly measures = false;
  readonly #factors: Readonly<Record<string, number>>;

  constructor(factors: Readonly<Record<string, number>>) {
    this.#factors = factors;
  }

  factors({ tasks }: Pick<WindowTasks, "tasks">): MixtureFactors {
    const factors = this.constants(tasks);
    return { losses: factors, gradients: factors };
  }

  constants(tasks: readonly string[]): readonly number[] {
    return tasks.map((task) => {
      const factor = this.#factors[task];
      if (factor === undefined) {
        throw new CraftError({
          subject: "mixture",
          value: task,
          reason: "has no factor for this task",
          remedy: `It knows ${Object.keys(this.#factors).join(", ")}.`,
        });
      }
      return factor;
    });
  }
}
