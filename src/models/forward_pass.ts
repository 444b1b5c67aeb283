/** @file What the layers of one forward pass share: which tokens see which, and the angles of their positions. */
import { CraftError } from "../errors.js";
import { branchBias, documentBias, windowBias, type RotaryTables } from "../nn/index.js";
import { add, arange, causalBias, maximum, paddingBias, reshape, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { ForwardOptions, LayerCaches } from "./causal_lm.js";
import { lengthDependence, tablesFor, type Rotary } from "./rope.js";

/** Added to the score of padding. Finite in float16 too: a padded position sees padding alone, and must not get NaN. */
const hiddenScore = -30_000;

/** What one layer reads besides the hidden states. */
export interface LayerContext {
  /** Its number, from 0. */
  readonly layer: number;
  /** Undefined where the layer knows no positions. */
  readonly rotary: RotaryTables | undefined;
  /** Added to the scores, broadcastable to [batch, 1, length, keys]. */
  readonly bias: Tensor;
  readonly cache: LayerCaches | undefined;
  /** In which products are computed. */
  readonly dtype: DType;
  /** Places whose outputs are wanted, as rows; all by default. */
  readonly places: Tensor | undefined;
}

/** How one layer looks at the others. */
export interface LayerView {
  /** Tokens that it sees, itself included; all by default. */
  readonly window?: number | undefined;
  readonly rotary?: Rotary | undefined;
}

/** Makes the contexts of layers; what several of them need is traced once. */
export class ForwardPass {
  readonly positions: Tensor;
  readonly #length: number;
  readonly #options: ForwardOptions;
  readonly #dtype: DType;
  readonly #tables = new Map<Rotary, RotaryTables>();
  readonly #biases = new Map<number | undefined, Tensor>();

  constructor(inputIds: Tensor, options: ForwardOptions, dtype: DType) {
    this.#length = inputIds.shape[1]!;
    this.#options = options;
    this.#dtype = dtype;
    this.positions = options.positions ?? arange(0, this.#length);
  }

  context(layer: number, view: LayerView, places: Tensor | undefined): LayerContext {
    return {
      layer,
      rotary: view.rotary && this.#rotary(view.rotary),
      bias: this.#options.cache?.bias(layer) ?? this.#bias(view.window),
      cache: this.#options.cache,
      dtype: this.#dtype,
      places,
    };
  }

  #rotary(rotary: Rotary): RotaryTables {
    const known = this.#tables.get(rotary);
    if (known !== undefined) return known;
    const { documents, branches, positions } = this.#options;
    const trained = lengthDependence(rotary)?.trained ?? Infinity;
    if ((documents ?? branches) !== undefined && this.#length > trained)
      throw packedBeyond(rotary.rope.type, this.#length, trained);
    const tables = tablesFor(rotary, this.positions, this.#length, positions !== undefined);
    this.#tables.set(rotary, tables);
    return tables;
  }

  #bias(window: number | undefined): Tensor {
    const wanted = window !== undefined && window >= this.#length ? undefined : window;
    const known = this.#biases.get(wanted);
    if (known !== undefined) return known;
    const places = this.#places();
    const bias =
      wanted === undefined
        ? this.#fullBias()
        : add(this.#bias(undefined), windowBias(places, places, wanted));
    this.#biases.set(wanted, bias);
    return bias;
  }

  /** Where tokens stand, for windows. */
  #places(): Tensor {
    return this.#options.branches === undefined
      ? arange(0, this.#length)
      : reshape(this.positions, [-1, 1, this.#length]);
  }

  #fullBias(): Tensor {
    const { attentionMask, documents, branches } = this.#options;
    let bias = causalBias(this.#length, this.#length);
    if (documents !== undefined) bias = add(bias, documentBias(documents));
    if (branches !== undefined) bias = add(bias, branchBias(branches));
    if (attentionMask !== undefined) bias = add(bias, maximum(paddingBias(attentionMask), hiddenScore));
    return bias;
  }
}

const packedBeyond = (type: string, length: number, trained: number): CraftError =>
  new CraftError({
    subject: "rope_scaling",
    value: type,
    reason: `turns by the length of the text, which is not that of a row of ${length} tokens that holds several texts, and above the ${trained} positions of the model`,
    remedy: "Lower max_length, or leave out packing, padding_free and shared prompts.",
  });
