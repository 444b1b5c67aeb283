import { CraftError } from "../errors.js";
import { bestRule } from "./argument_rules.js";
import type { CallbackContext, CallbackState, LogEntry, RunPlace, TrainerCallback } from "./callbacks.js";

export interface EarlyStoppingOptions {
  /** Evaluations in a row without an improvement after which training stops. Default 1. */
  readonly earlyStoppingPatience?: number;
  /** An improvement must be larger than this. Default 0. */
  readonly earlyStoppingThreshold?: number;
}

/**
 * Stops a run when `metric_for_best_model` has not improved on the best value for some evaluations, as transformers'
 * callback of that name does. Its counter is saved, so that a resumed run stops where the uninterrupted one would.
 *
 * @throws CraftError for a patience below 1 or a negative threshold, and at the start of a run that has no metric to go
 * by or does not evaluate.
 */
export class EarlyStoppingCallback implements TrainerCallback {
  readonly stateName = "EarlyStoppingCallback";
  readonly #patience: number;
  readonly #threshold: number;
  #counter = 0;

  constructor(options: EarlyStoppingOptions = {}) {
    const { earlyStoppingPatience = 1, earlyStoppingThreshold = 0 } = options;
    if (!Number.isInteger(earlyStoppingPatience) || earlyStoppingPatience < 1) {
      throw new CraftError({
        subject: "earlyStoppingPatience",
        value: earlyStoppingPatience,
        reason: "must be a whole number from 1 on",
      });
    }
    if (!(earlyStoppingThreshold >= 0)) {
      throw new CraftError({
        subject: "earlyStoppingThreshold",
        value: earlyStoppingThreshold,
        reason: "must not be negative",
      });
    }
    this.#patience = earlyStoppingPatience;
    this.#threshold = earlyStoppingThreshold;
  }

  onTrainBegin({ startStep }: RunPlace, { args, control }: CallbackContext): void {
    const missing =
      bestRule(args) === undefined
        ? "metric_for_best_model is not set"
        : args.evalStrategy === "no"
          ? "eval_strategy is no"
          : undefined;
    if (missing !== undefined) {
      throw new CraftError({
        subject: "EarlyStoppingCallback",
        reason: `has nothing to go by: ${missing}`,
        remedy: "Set metric_for_best_model, and eval_strategy to steps or epoch.",
      });
    }
    if (startStep === 0) this.#counter = 0;
    // A run that had stopped when its last checkpoint was written does not go on.
    if (this.#counter >= this.#patience) control.shouldTrainingStop = true;
  }

  onEvaluate(metrics: LogEntry, { args, state, control }: CallbackContext): void {
    const { metric, greaterIsBetter } = bestRule(args)!;
    const value = metrics[metric];
    if (value === undefined) return;
    const best = state.bestMetric;
    const gain = best === null ? Infinity : greaterIsBetter ? value - best : best - value;
    this.#counter = gain > this.#threshold ? 0 : this.#counter + 1;
    if (this.#counter >= this.#patience) control.shouldTrainingStop = true;
  }

  saved(): CallbackState {
    return {
      args: { early_stopping_patience: this.#patience, early_stopping_threshold: this.#threshold },
      attributes: { early_stopping_patience_counter: this.#counter },
    };
  }

  restore({ attributes }: CallbackState): void {
    this.#counter = Number(attributes["early_stopping_patience_counter"] ?? 0);
  }
}
