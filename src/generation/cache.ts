/** @file Keys and values of the tokens so far, as programs take and return them. */
import type { LayerCaches } from "../models/causal_lm.js";
import { indexCopy, indexSelect, pad, unsqueeze, type Tensor } from "../tensor/index.js";

/**
 * For each layer keys and values [rows, kvHeads, capacity, headSize]. Column c holds what stands c places behind the
 * first, left-padded, prompt token of the batch; columns that are not written yet are hidden by the attention's bias.
 */
export type KeyValues = {
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
};

/** Keeps the keys and values of a prompt, with room for more columns. */
export class PromptCache implements LayerCaches {
  readonly #capacity: number;
  readonly #keys: Tensor[] = [];
  readonly #values: Tensor[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  update(layer: number, keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    this.#keys[layer] = withCapacity(keys, this.#capacity);
    this.#values[layer] = withCapacity(values, this.#capacity);
    return { keys, values };
  }

  get content(): KeyValues {
    return { keys: this.#keys, values: this.#values };
  }
}

/** Writes the keys and values of one more token into a column. */
export class StepCache implements LayerCaches {
  readonly #column: Tensor;
  readonly #keys: Tensor[];
  readonly #values: Tensor[];

  /** @param column int64 [1] */
  constructor(past: KeyValues, column: Tensor) {
    this.#keys = [...past.keys];
    this.#values = [...past.values];
    this.#column = column;
  }

  update(layer: number, keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    const write = (into: Tensor[], x: Tensor): Tensor =>
      (into[layer] = indexCopy(into[layer]!, 2, this.#column, x));
    return { keys: write(this.#keys, keys), values: write(this.#values, values) };
  }

  get content(): KeyValues {
    return { keys: this.#keys, values: this.#values };
  }
}

const withCapacity = (x: Tensor, capacity: number): Tensor => pad(x, 2, 0, capacity - x.size(2));

/** The same keys and values with room for more columns. */
export const grown = ({ keys, values }: KeyValues, capacity: number): KeyValues => ({
  keys: keys.map((x) => withCapacity(x, capacity)),
  values: values.map((x) => withCapacity(x, capacity)),
});

/** Each row `copies` times in a row: what several continuations of one prompt begin with. */
export const repeated = ({ keys, values }: KeyValues, copies: number): KeyValues => ({
  keys: keys.map((x) => repeatRows(x, copies)),
  values: values.map((x) => repeatRows(x, copies)),
});

/** @param x [rows, ...] gives [rows * copies, ...] */
export function repeatRows(x: Tensor, copies: number): Tensor {
  if (copies === 1) return x;
  const [rows, ...sizes] = x.shape as readonly [number, ...number[]];
  return unsqueeze(x, 1)
    .expand([rows, copies, ...sizes])
    .reshape([rows * copies, ...sizes]);
}

/** The rows in another order; a row may come several times. @param rows int64 [n] */
export const reordered = ({ keys, values }: KeyValues, rows: Tensor): KeyValues => ({
  keys: keys.map((x) => indexSelect(x, 0, rows)),
  values: values.map((x) => indexSelect(x, 0, rows)),
});
