/** @file The bonus for uncertainty: which tokens, and how much of it. */
import { floor, gather, sort, sum, where, type Tensor } from "../../tensor/index.js";
import type { Carried, CarriedValues } from "../../training/carried.js";

/**
 * 1 for the tokens that count and whose entropy is at or above the quantile 1 - share of those that count, interpolated
 * as in NumPy; 0 for the others. Without a gradient. @param entropy and mask [n]
 */
export function uncertainTokens(entropy: Tensor, mask: Tensor, share: number): Tensor {
  const n = entropy.numel;
  const real = mask.gt(0);
  // Those that do not count come first.
  const { values } = sort(where(real, entropy.stopGradient(), -Infinity), 0);
  const count = sum(mask);
  const place = count
    .sub(1)
    .maximum(0)
    .mul(1 - share)
    .add(count.mul(-1).add(n));
  const below = floor(place);
  const at = (index: Tensor): Tensor =>
    gather(
      values,
      0,
      index
        .minimum(n - 1)
        .to("int64")
        .reshape([1]),
    );
  const [low, high] = [at(below), at(below.add(1))];
  const part = place.sub(below);
  // A place between two numbers is only read where there is one; -Infinity times 0 is NaN.
  const threshold = where(part.gt(0), low.add(high.sub(low).mul(part)), low);
  return entropy.stopGradient().ge(threshold).logicalAnd(real).to(entropy.dtype);
}

export interface EntropyControllerOptions {
  readonly coef: number;
  /** Without it the coefficient stays as it is. */
  readonly adaptive:
    | { readonly min: number; readonly max: number; readonly delta: number; readonly target: number }
    | undefined;
}

/**
 * The weight of the entropy. Adaptive: after each step it rises by delta where the step's mean entropy was at most the
 * target, and falls by delta where it was not; and it acts only where the step before was at most at the target.
 */
export class EntropyController implements Carried {
  readonly #options: EntropyControllerOptions;
  #coef: number;
  /** Of the last step, undefined before the first. */
  #last: number | undefined;
  #window = { sum: 0, count: 0 };

  constructor(options: EntropyControllerOptions) {
    this.#options = options;
    this.#coef = options.coef;
  }

  get coef(): number {
    return this.#coef;
  }

  /** What the entropy is weighted with in the step at hand. */
  get acting(): number {
    const { adaptive } = this.#options;
    if (adaptive === undefined) return this.#coef;
    return this.#last !== undefined && this.#last <= adaptive.target ? this.#coef : 0;
  }

  /** Takes up a micro-batch. */
  add(sum: number, count: number): void {
    this.#window = { sum: this.#window.sum + sum, count: this.#window.count + count };
  }

  /** A step is done. */
  advance(): void {
    const { adaptive } = this.#options;
    const { sum, count } = this.#window;
    this.#window = { sum: 0, count: 0 };
    if (adaptive === undefined || count === 0) return;
    const { min, max, delta, target } = adaptive;
    this.#last = sum / count;
    this.#coef = this.#last <= target ? Math.min(this.#coef + delta, max) : Math.max(this.#coef - delta, min);
  }

  state(): CarriedValues {
    const last = this.#last === undefined ? [] : [this.#last];
    return { numbers: { coef: [this.#coef], last, window: [this.#window.sum, this.#window.count] } };
  }

  restore({ numbers = {} }: CarriedValues): void {
    this.#coef = numbers["coef"]![0]!;
    this.#last = numbers["last"]![0];
    this.#window = { sum: numbers["window"]![0]!, count: numbers["window"]![1]! };
  }
}
