/** @file A learning rate that falls when a metric stops improving. */
import { scheduleKwargs, type ScheduleKwargs } from "./schedule_kwargs.js";

/** What the next decision depends on. Plain JSON; `best` is null before the first metric. */
export interface PlateauState {
  readonly rate: number;
  readonly best: number | null;
  readonly bad: number;
  readonly cooling: number;
}

/**
 * PyTorch's `ReduceLROnPlateau`: after more than `patience` metrics in a row that did not beat the best one by
 * `threshold`, the rate is multiplied by `factor`, down to `min_lr`; `cooldown` metrics then do not count, and changes
 * below `eps` are not made.
 */
export class ReduceLROnPlateau {
  readonly #options: ScheduleKwargs<"reduce_lr_on_plateau">;
  #state: PlateauState;

  constructor(learningRate: number, kwargs: Readonly<Record<string, unknown>> = {}) {
    this.#options = scheduleKwargs("reduce_lr_on_plateau", kwargs);
    this.#state = { rate: learningRate, best: null, bad: 0, cooling: 0 };
  }

  /** The rate of the next step. */
  get rate(): number {
    return this.#state.rate;
  }

  /** Hears a metric, and decides. */
  observe(metric: number): void {
    const { factor, patience, cooldown, minLr, eps } = this.#options;
    let { rate, best, bad, cooling } = this.#state;
    if (this.#improves(metric, best)) {
      best = metric;
      bad = 0;
    } else bad++;
    if (cooling > 0) {
      cooling--;
      bad = 0;
    }
    if (bad > patience) {
      const lower = Math.max(rate * factor, minLr);
      if (rate - lower > eps) rate = lower;
      cooling = cooldown;
      bad = 0;
    }
    this.#state = { rate, best, bad, cooling };
  }

  #improves(metric: number, best: number | null): boolean {
    if (best === null) return !Number.isNaN(metric);
    const { mode, threshold, thresholdMode } = this.#options;
    const sign = mode === "min" ? -1 : 1;
    const limit = thresholdMode === "rel" ? best * (1 + sign * threshold) : best + sign * threshold;
    return mode === "min" ? metric < limit : metric > limit;
  }

  state(): PlateauState {
    return this.#state;
  }

  restore(state: PlateauState): void {
    this.#state = state;
  }
}
