import { CraftError } from "../errors.js";
import type { BestRule } from "./argument_rules.js";
import type { LogEntry } from "./callbacks.js";

/** The best evaluation so far, and where its weights are. Plain JSON. */
export interface BestState {
  readonly metric: number | null;
  readonly step: number | null;
  readonly checkpoint: string | null;
}

/** Compares evaluations, and knows which checkpoint belongs to the best one. */
export class BestModel {
  readonly #rule: BestRule | undefined;
  #state: BestState = { metric: null, step: null, checkpoint: null };
  /** The last checkpoint that was written because the strategy said so. */
  #saved: { readonly step: number; readonly path: string } | undefined;

  constructor(rule: BestRule | undefined) {
    this.#rule = rule;
  }

  get state(): BestState {
    return this.#state;
  }

  restore(state: BestState): void {
    this.#state = state;
  }

  /**
   * The metric that evaluations are compared by; undefined if nothing compares them.
   *
   * @throws CraftError if the evaluation does not have it.
   */
  valueOf(metrics: LogEntry): number | undefined {
    if (this.#rule === undefined) return undefined;
    const value = metrics[this.#rule.metric];
    if (value !== undefined) return value;
    const names = Object.keys(metrics).filter((name) => name.startsWith("eval_"));
    throw new CraftError({
      subject: "metric_for_best_model",
      value: this.#rule.metric,
      reason: "is not among the metrics of the evaluation",
      remedy: `There are ${names.join(", ")}.`,
    });
  }

  /** Whether an evaluation is better than all before it. */
  judge(metrics: LogEntry, step: number): boolean {
    const value = this.valueOf(metrics);
    if (this.#rule === undefined || value === undefined || Number.isNaN(value)) return false;
    const { metric: best, checkpoint } = this.#state;
    const better = best === null || (this.#rule.greaterIsBetter ? value > best : value < best);
    if (!better) return false;
    const here = this.#saved?.step === step ? this.#saved.path : checkpoint;
    this.#state = { metric: value, step, checkpoint: here };
    return true;
  }

  /** A checkpoint of a step is about to be written. */
  saving(path: string, step: number): void {
    this.#saved = { step, path };
    if (this.#state.step === step) this.#state = { ...this.#state, checkpoint: path };
  }
}
