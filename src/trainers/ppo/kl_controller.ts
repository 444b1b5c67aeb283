/** @file How strongly divergence from the reference is punished, as training goes on. */
import type { Carried, CarriedValues } from "../../training/carried.js";

export interface KlControllerOptions {
  /** The coefficient at the beginning. */
  readonly initial: number;
  /** The divergence of a completion, in nats, that the coefficient is steered to; undefined leaves it as it is. */
  readonly target: number | undefined;
  /** Completions in which an error of 100 % changes the coefficient by a factor of e, about; below `clip` it is less. */
  readonly horizon: number;
}

/** A relative error counts for no more than this. */
const clip = 0.2;

/**
 * The coefficient of the divergence. Fixed, or adapted after each rollout of n completions with mean divergence k to a
 * target t: c <- c (1 + clip(k / t - 1, -0.2, 0.2) n / horizon) (Ziegler et al. 2019).
 */
export class KlController implements Carried {
  readonly #options: KlControllerOptions;
  #value: number;
  /** Before the last update. */
  #former: number;
  /** The rollout of the last update. */
  #last = -1;

  constructor(options: KlControllerOptions) {
    this.#options = options;
    this.#value = this.#former = options.initial;
  }

  get value(): number {
    return this.#value;
  }

  /** The coefficient for a rollout, by its number: one that is made again after an interruption has the one that it had. */
  valueFor(rollout: number): number {
    return rollout <= this.#last ? this.#former : this.#value;
  }

  /** @param kl mean over the completions of the sum over their tokens */
  update(rollout: number, kl: number, completions: number): void {
    const { target, horizon } = this.#options;
    if (target === undefined || rollout <= this.#last) return;
    this.#last = rollout;
    this.#former = this.#value;
    const error = Math.min(clip, Math.max(-clip, kl / target - 1));
    this.#value *= 1 + (error * completions) / horizon;
  }

  state(): CarriedValues {
    return { numbers: { coefficient: [this.#value, this.#former], last: [this.#last] } };
  }

  restore({ numbers = {} }: CarriedValues): void {
    const [value, former] = numbers["coefficient"]!;
    this.#value = value!;
    this.#former = former!;
    this.#last = numbers["last"]![0]!;
  }
}
