/** @file Keys and values of the tokens so far, as programs take and return them. */
import type { LayerCaches } from "../models/causal_lm.js";
import { windowBias } from "../nn/index.js";
import {
  add,
  arange,
  cat,
  full,
  indexCopy,
  indexSelect,
  pad,
  remainder,
  slice,
  sub,
  unsqueeze,
  where,
  zeros,
  type Tensor,
} from "../tensor/index.js";

/**
 * For each layer keys and values [rows, kvHeads, slots, headSize]. Column c stands c places behind the first,
 * left-padded, prompt token of the batch, and lies in slot c; a layer that sees a window of n tokens has n slots at the
 * most, and column c lies in slot c mod n there. Slots that are not written yet are hidden by the attention's bias.
 */
export type KeyValues = {
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
};

/** Tokens that each layer sees; undefined for all. */
export type Windows = readonly (number | undefined)[];

/** Slots of a layer where others have room for `capacity` columns. */
export const slotsOf = (window: number | undefined, capacity: number): number =>
  Math.min(window ?? capacity, capacity);

/** Keeps the keys and values of a prompt, with room for more columns. */
export class PromptCache implements LayerCaches {
  readonly #windows: Windows;
  readonly #capacity: number;
  readonly #visible: Tensor;
  readonly #column: Tensor;
  readonly #biases = new Map<number | undefined, Tensor>();
  readonly #keys: Tensor[] = [];
  readonly #values: Tensor[] = [];

  /**
   * @param columns of the padded prompts
   * @param starts int64 [rows]: column of each row's first token
   * @param capacity columns that there is room for
   */
  constructor(windows: Windows, columns: number, starts: Tensor, capacity: number) {
    this.#windows = windows;
    this.#capacity = capacity;
    this.#column = arange(0, columns);
    this.#visible = visibleBias(this.#column.reshape([columns, 1]), this.#column, starts);
  }

  bias(layer: number): Tensor {
    const window = this.#windows[layer];
    if (window === undefined || window >= this.#column.numel) return this.#visible;
    const known = this.#biases.get(window);
    const bias = known ?? add(this.#visible, windowBias(this.#column, this.#column, window));
    this.#biases.set(window, bias);
    return bias;
  }

  update(layer: number, keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    const slots = slotsOf(this.#windows[layer], this.#capacity);
    this.#keys[layer] = intoSlots(keys, slots);
    this.#values[layer] = intoSlots(values, slots);
    return { keys, values };
  }

  get content(): KeyValues {
    return { keys: this.#keys, values: this.#values };
  }
}

/** Where the last columns of x [rows, kvHeads, columns, headSize] lie; the others are dropped. */
function intoSlots(x: Tensor, slots: number): Tensor {
  const columns = x.size(2);
  if (columns <= slots) return pad(x, 2, 0, slots - columns);
  const last = slice(x, 2, columns - slots, columns);
  const turn = columns % slots;
  return turn === 0 ? last : cat([slice(last, 2, slots - turn, slots), slice(last, 2, 0, slots - turn)], 2);
}

/** Writes the keys and values of one more token into a column. */
export class StepCache implements LayerCaches {
  readonly #windows: Windows;
  readonly #column: Tensor;
  readonly #starts: Tensor;
  readonly #keys: Tensor[];
  readonly #values: Tensor[];
  readonly #slots = new Map<number, Tensor>();
  readonly #biases = new Map<string, Tensor>();

  /**
   * @param column int64 [1]
   * @param starts int64 [rows]
   */
  constructor(windows: Windows, past: KeyValues, column: Tensor, starts: Tensor) {
    this.#windows = windows;
    this.#keys = [...past.keys];
    this.#values = [...past.values];
    this.#column = column;
    this.#starts = starts;
  }

  bias(layer: number): Tensor {
    const slots = this.#keys[layer]!.size(2);
    const rolls = this.#windows[layer] !== undefined;
    const key = `${slots} ${rolls}`;
    const known = this.#biases.get(key);
    const bias = known ?? this.#visible(slots, rolls);
    this.#biases.set(key, bias);
    return bias;
  }

  #visible(slots: number, rolls: boolean): Tensor {
    const slot = arange(0, slots);
    const column = this.#column;
    // The last column that lies in a slot; below 0 where none does yet.
    const columns = rolls ? sub(column, remainder(sub(column, slot), slots)) : slot;
    return visibleBias(column.reshape([1, 1]), columns, this.#starts);
  }

  update(layer: number, keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    const slot = this.#slotOf(layer);
    const write = (into: Tensor[], x: Tensor): Tensor => (into[layer] = indexCopy(into[layer]!, 2, slot, x));
    return { keys: write(this.#keys, keys), values: write(this.#values, values) };
  }

  #slotOf(layer: number): Tensor {
    if (this.#windows[layer] === undefined) return this.#column;
    const slots = this.#keys[layer]!.size(2);
    const slot = this.#slots.get(slots) ?? remainder(this.#column, slots);
    this.#slots.set(slots, slot);
    return slot;
  }

  get content(): KeyValues {
    return { keys: this.#keys, values: this.#values };
  }
}

/**
 * Bias [rows, 1, queries, keys] of the attention, 0 or minus infinity: a token sees those of its row up to itself.
 * Padding sees itself, so that no softmax is without a finite score; nothing sees padding.
 *
 * @param queries int64 [queries, 1]: columns that look
 * @param keys int64 [keys]: columns that are looked at
 */
function visibleBias(queries: Tensor, keys: Tensor, starts: Tensor): Tensor {
  const rows = starts.size(0);
  const real = keys.ge(starts.reshape([rows, 1, 1]));
  const visible = keys.le(queries).logicalAnd(real.logicalOr(keys.eq(queries)));
  return where(visible, zeros([]), full([], -Infinity)).reshape([rows, 1, queries.size(0), keys.numel]);
}

/** The same keys and values with room for more columns, before any layer has come round to its first slot again. */
export function grown({ keys, values }: KeyValues, windows: Windows, capacity: number): KeyValues {
  const wide = (x: Tensor, layer: number): Tensor =>
    pad(x, 2, 0, slotsOf(windows[layer], capacity) - x.size(2));
  return { keys: keys.map(wide), values: values.map(wide) };
}

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
