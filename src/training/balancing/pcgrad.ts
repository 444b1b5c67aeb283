import type { CarriedValues } from "../carried.js";
import type { MixtureFactors, WindowTasks } from "../mixture.js";
import { measured, type Balancer } from "./balanced_mixture.js";

/**
 * Gradient surgery (Yu et al. 2020): what of a task's gradient opposes another task's is taken out. For each task i,
 * and each other task j in turn, where g_i . g_j < 0 so far:
 *
 * g_i = g_i - (g_i . g_j / |g_j|^2) g_j
 *
 * with the other tasks' gradients as they were, over all parameters. Tasks come in the order in which the window met
 * them; the paper draws an order, which with two tasks changes nothing. The factors then weigh what is left.
 *
 * What comes out is a sum of the tasks' gradients with factors that follow from their inner products, so that no
 * gradient is written anew for it.
 */
export class PCGradBalancer implements Balancer {
  readonly measures = true;

  balance({ gradients }: WindowTasks, fixed: readonly number[]): MixtureFactors {
    const all = measured(gradients);
    const tasks = fixed.map((_, j) => j);
    const projected = tasks.map((i) => {
      // g_i as factors of the tasks' own gradients.
      const shares = tasks.map((k): number => (k === i ? 1 : 0));
      for (const j of tasks) {
        if (j === i) continue;
        const inner = shares.reduce((sum, share, k) => sum + share * all.product(k, j), 0);
        const square = all.product(j, j);
        if (inner < 0 && square > 0) shares[j]! -= inner / square;
      }
      return shares;
    });
    return {
      losses: fixed,
      gradients: tasks.map((j) => projected.reduce((sum, shares, i) => sum + fixed[i]! * shares[j]!, 0)),
    };
  }

  /** Nothing is carried from step to step. */
  state(): CarriedValues {
    return {};
  }

  restore(): void {}
}
