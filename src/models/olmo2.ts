/** @file OLMo 2 (OLMo team 2024): norms behind attention and feed-forward part, and on queries and keys as wholes. */
import { type GatedMLP, Module, type RMSNorm } from "../nn/index.js";
import { add, type Tensor } from "../tensor/index.js";
import { rowsAt } from "./attend.js";
import { readDecoderConfig, withRope, type RotaryDecoderConfig } from "./decoder_config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { LayerContext } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import type { ParameterSource } from "./parameter_source.js";
import { gatedMlp, type DecoderLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { SelfAttention } from "./self_attention.js";

export interface Olmo2Config extends RotaryDecoderConfig {
  /** Whether all four projections of the attention have biases. */
  readonly attentionBias: boolean;
}

/** Reads a config.json with the defaults of transformers' Olmo2Config. */
export function olmo2Config(json: JsonObject, file: string): Olmo2Config {
  const fields = new JsonFields(json, file);
  fields.refuseUnless("clip_qkv", [], "clipping of queries, keys and values is not supported");
  const config = readDecoderConfig(fields, "olmo2", {
    vocabSize: 50_304,
    hiddenSize: 4096,
    intermediateSize: 11_008,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    maxPositionEmbeddings: 2048,
    rmsNormEps: 1e-5,
    tieWordEmbeddings: false,
    eosTokenIds: [50_279],
  });
  return { ...withRope(config, fields), attentionBias: fields.boolean("attention_bias", false) };
}

class Olmo2Attention extends SelfAttention {
  readonly qNorm: RMSNorm;
  readonly kNorm: RMSNorm;

  constructor(config: Olmo2Config, path: string, source: ParameterSource) {
    const { attentionBias: bias, numAttentionHeads, numKeyValueHeads, headDim, rmsNormEps } = config;
    super(config, path, source, { bias: { inputs: bias, output: bias } });
    this.qNorm = source.rmsNorm(`${path}.q_norm`, numAttentionHeads * headDim, rmsNormEps);
    this.kNorm = source.rmsNorm(`${path}.k_norm`, numKeyValueHeads * headDim, rmsNormEps);
  }

  protected override queries(projected: Tensor): Tensor {
    return super.queries(this.qNorm.forward(projected));
  }

  protected override keys(projected: Tensor): Tensor {
    return super.keys(this.kNorm.forward(projected));
  }
}

class Olmo2DecoderLayer extends Module implements DecoderLayer {
  readonly selfAttn: Olmo2Attention;
  readonly postAttentionLayernorm: RMSNorm;
  readonly mlp: GatedMLP;
  readonly postFeedforwardLayernorm: RMSNorm;

  constructor(config: Olmo2Config, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, rmsNormEps } = config;
    this.selfAttn = new Olmo2Attention(config, `${path}.self_attn`, source);
    this.postAttentionLayernorm = source.rmsNorm(`${path}.post_attention_layernorm`, hiddenSize, rmsNormEps);
    this.mlp = gatedMlp(config, path, source);
    this.postFeedforwardLayernorm = source.rmsNorm(
      `${path}.post_feedforward_layernorm`,
      hiddenSize,
      rmsNormEps,
    );
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    const { dtype, places } = context;
    const attended = this.postAttentionLayernorm.forward(
      this.selfAttn.forward(x.to(dtype), context),
      x.dtype,
    );
    const middle = add(rowsAt(x, places), attended);
    return add(middle, this.postFeedforwardLayernorm.forward(this.mlp.forward(middle.to(dtype)), x.dtype));
  }
}

/** OLMo 2 with a language model head. */
export class Olmo2ForCausalLM extends RotaryDecoderLM<Olmo2Config> {
  constructor(config: Olmo2Config, source: ParameterSource) {
    super(
      config,
      source,
      () =>
        new DecoderModel(config, "model", source, (_, path) => new Olmo2DecoderLayer(config, path, source)),
    );
  }
}
