import { CraftError } from "../errors.js";

/** Decides how much each task's mean gradient counts in a step. */
export interface Mixture {
  /** Factors for the tasks that occur in a window. */
  coefficients(tasks: readonly string[]): Readonly<Record<string, number>>;
}

/** Fixed factors. A task that is not named is refused; one that does not occur in a window adds nothing. */
export class FixedMixture implements Mixture {
  readonly #factors: Readonly<Record<string, number>>;

  constructor(factors: Readonly<Record<string, number>>) {
    this.#factors = factors;
  }

  coefficients(tasks: readonly string[]): Record<string, number> {
    return Object.fromEntries(
      tasks.map((task) => {
        const factor = this.#factors[task];
        if (factor === undefined) {
          throw new CraftError({
            subject: "mixture",
            value: task,
            reason: "has no factor for this task",
            remedy: `It knows ${Object.keys(this.#factors).join(", ")}.`,
          });
        }
        return [task, factor];
      }),
    );
  }
}
