/** @file The block of Llama and most models since: x + attention(norm(x)), then x + mlp(norm(x)). */
import type { RMSNorm } from "../nn/index.js";
import { GatedMLP, Module } from "../nn/index.js";
import { add, type Tensor } from "../tensor/index.js";
import { rowsAt } from "./attend.js";
import type { DecoderConfig } from "./decoder_config.js";
import type { LayerContext } from "./forward_pass.js";
import type { ParameterSource } from "./parameter_source.js";

/** A block of a decoder. */
export interface DecoderLayer extends Module {
  /**
   * @param x residual stream [batch, length, hidden], float32
   * @returns the same, or [n, hidden] where the context names places
   */
  forward(x: Tensor, context: LayerContext): Tensor;
}

/** A part of a block: hidden states in the dtype of products in and out. */
export interface AttentionPart extends Module {
  forward(x: Tensor, context: LayerContext): Tensor;
}

export interface MlpPart extends Module {
  forward(x: Tensor): Tensor;
}

export type MlpSizes = Pick<DecoderConfig, "hiddenSize" | "intermediateSize" | "hiddenAct">;

/** The gated feed-forward part under `PATH.mlp`. */
export function gatedMlp(
  { hiddenSize, intermediateSize, hiddenAct }: MlpSizes,
  path: string,
  source: ParameterSource,
  bias = false,
): GatedMLP {
  return new GatedMLP(
    source.linear(`${path}.mlp.gate_proj`, intermediateSize, hiddenSize, bias),
    source.linear(`${path}.mlp.up_proj`, intermediateSize, hiddenSize, bias),
    source.linear(`${path}.mlp.down_proj`, hiddenSize, intermediateSize, bias),
    hiddenAct,
  );
}

export class PreNormLayer extends Module implements DecoderLayer {
  readonly inputLayernorm: RMSNorm;
  readonly selfAttn: AttentionPart;
  readonly postAttentionLayernorm: RMSNorm;
  readonly mlp: MlpPart;

  /** @param parts make attention and feed-forward part, between the norms */
  constructor(
    { hiddenSize, rmsNormEps }: { readonly hiddenSize: number; readonly rmsNormEps: number },
    path: string,
    source: ParameterSource,
    parts: { readonly selfAttn: () => AttentionPart; readonly mlp: () => MlpPart },
  ) {
    super();
    this.inputLayernorm = source.rmsNorm(`${path}.input_layernorm`, hiddenSize, rmsNormEps);
    this.selfAttn = parts.selfAttn();
    this.postAttentionLayernorm = source.rmsNorm(`${path}.post_attention_layernorm`, hiddenSize, rmsNormEps);
    this.mlp = parts.mlp();
  }

  /** The residual stream stays in float32; each branch computes in the model's dtype. */
  forward(x: Tensor, context: LayerContext): Tensor {
    const attended = this.selfAttn.forward(this.inputLayernorm.forward(x, context.dtype), context);
    const middle = add(rowsAt(x, context.places), this.dropped(attended));
    const fed = this.mlp.forward(this.postAttentionLayernorm.forward(middle, context.dtype));
    return add(middle, this.dropped(fed));
  }

  /** What a model that drops parts of its branches in training does to them. */
  protected dropped(branch: Tensor): Tensor {
    return branch;
  }
}
