/** @file Attention with a projection each for queries, keys, values and outputs, as in Llama and most models since. */
import { linearTogether, Module, type Linear } from "../nn/index.js";
import type { Tensor } from "../tensor/index.js";
import { attend, splitHeads, type AttendOptions } from "./attend.js";
import type { DecoderConfig } from "./decoder_config.js";
import type { LayerContext } from "./forward_pass.js";
import type { ParameterSource } from "./parameter_source.js";

export type AttentionSizes = Pick<
  DecoderConfig,
  "hiddenSize" | "numAttentionHeads" | "numKeyValueHeads" | "headDim" | "attentionDropout"
>;

export interface SelfAttentionOptions {
  /** Biases of the three projections into heads, and of the one out of them; none by default. */
  readonly bias?: { readonly inputs: boolean; readonly output: boolean };
  /** Factor of the scores; 1 / sqrt(headDim) by default. */
  readonly scale?: number;
  /** See {@link AttendOptions}. */
  readonly softcap?: number | undefined;
}

export class SelfAttention extends Module {
  readonly qProj: Linear;
  readonly kProj: Linear;
  readonly vProj: Linear;
  readonly oProj: Linear;
  readonly #headDim: number;
  readonly #options: AttendOptions;

  constructor(
    { hiddenSize, numAttentionHeads, numKeyValueHeads, headDim, attentionDropout }: AttentionSizes,
    path: string,
    source: ParameterSource,
    options: SelfAttentionOptions = {},
  ) {
    super();
    const { inputs, output } = options.bias ?? { inputs: false, output: false };
    this.qProj = source.linear(`${path}.q_proj`, numAttentionHeads * headDim, hiddenSize, inputs);
    this.kProj = source.linear(`${path}.k_proj`, numKeyValueHeads * headDim, hiddenSize, inputs);
    this.vProj = source.linear(`${path}.v_proj`, numKeyValueHeads * headDim, hiddenSize, inputs);
    this.oProj = source.linear(`${path}.o_proj`, hiddenSize, numAttentionHeads * headDim, output);
    this.#headDim = headDim;
    const { scale = 1 / Math.sqrt(headDim), softcap } = options;
    this.#options = { scale, dropout: attentionDropout, softcap };
  }

  /** What a model that normalises queries does to them, [batch, length, heads * headDim] to [batch, length, heads, headDim]. */
  protected queries(projected: Tensor): Tensor {
    return splitHeads(projected, this.#headDim);
  }

  /** As {@link queries}, for keys. */
  protected keys(projected: Tensor): Tensor {
    return splitHeads(projected, this.#headDim);
  }

  /** @param x [batch, length, hidden] in the dtype of products */
  forward(x: Tensor, context: LayerContext): Tensor {
    const [q, k, v] = linearTogether([this.qProj, this.kProj, this.vProj], x);
    const values = splitHeads(v, this.#headDim);
    return this.oProj.forward(attend(this.queries(q), this.keys(k), values, context, this.#options));
  }
}
