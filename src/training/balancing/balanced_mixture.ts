/** @file A mixture with fixed factors, a limit on each task's gradient, and a balancer. */
import { CraftError } from "../../errors.js";
import { clipDivisor } from "../../optim/index.js";
import type { Carried, CarriedValues } from "../carried.js";
import { FixedMixture, type Mixture, type MixtureFactors, type WindowTasks } from "../mixture.js";

/** Weighs the tasks of a window against each other, beyond their fixed factors. */
export interface Balancer extends Carried {
  /** Whether {@link balance} looks at gradients. */
  readonly measures: boolean;
  /**
   * Factors that take the place of the fixed ones in this window. Called once for each window; a balancer that learns
   * does so here.
   *
   * @param fixed one for each task of the window
   */
  balance(window: WindowTasks, fixed: readonly number[]): MixtureFactors;
}

export interface BalancedMixtureOptions {
  /** The fixed factor of each task. */
  readonly factors: Readonly<Record<string, number>>;
  readonly balancer?: Balancer | undefined;
  /** Norm above which a task's mean gradient is scaled down; above 0. */
  readonly clip?: number | undefined;
}

/**
 * First each task's mean gradient is scaled down to `clip`, as PyTorch's clip_grad_norm_ does; then the balancer looks
 * at what is left and says with which factors it counts. Losses are never clipped.
 */
export class BalancedMixture implements Mixture, Carried {
  readonly measures: boolean;
  readonly #fixed: FixedMixture;
  readonly #balancer: Balancer | undefined;
  readonly #clip: number | undefined;

  /** @throws CraftError for a limit that is not above 0. */
  constructor({ factors, balancer, clip }: BalancedMixtureOptions) {
    if (clip !== undefined && !(clip > 0))
      throw new CraftError({ subject: "clip", value: clip, reason: "must be above 0" });
    this.#fixed = new FixedMixture(factors);
    this.#balancer = balancer;
    this.#clip = clip;
    this.measures = clip !== undefined || balancer?.measures === true;
  }

  factors(window: WindowTasks): MixtureFactors {
    const fixed = this.#fixed.factors(window);
    const scales = this.#scales(window);
    const clipped = { ...window, gradients: window.gradients?.scaled(scales) };
    const { losses, gradients } = this.#balancer?.balance(clipped, fixed.gradients) ?? fixed;
    return { losses, gradients: gradients.map((factor, k) => factor * scales[k]!) };
  }

  #scales({ tasks, gradients }: WindowTasks): readonly number[] {
    const clip = this.#clip;
    return tasks.map((_, k) => (clip === undefined ? 1 : 1 / clipDivisor(measured(gradients).norm(k), clip)));
  }

  state(): CarriedValues {
    return this.#balancer?.state() ?? {};
  }

  restore(values: CarriedValues): void {
    this.#balancer?.restore(values);
  }
}

/** The gradients of a window that was measured. */
export function measured(gradients: WindowTasks["gradients"]): NonNullable<WindowTasks["gradients"]> {
  if (gradients !== undefined) return gradients;
  throw new CraftError({ subject: "window", reason: "has no inner products, which this mixture needs" });
}
