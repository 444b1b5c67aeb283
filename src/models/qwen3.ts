/** @file Qwen3 (Yang et al. 2025): Llama with a norm on each head of queries and keys. */
import type { RMSNorm } from "../nn/index.js";
import type { Tensor } from "../tensor/index.js";
import { readDecoderConfig, withRope, type RotaryDecoderConfig } from "./decoder_config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import { readQwenWindows } from "./layer_types.js";
import type { ParameterSource } from "./parameter_source.js";
import { gatedMlp, PreNormLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { SelfAttention } from "./self_attention.js";

export interface Qwen3Config extends RotaryDecoderConfig {
  /** Whether all four projections of the attention have biases. */
  readonly attentionBias: boolean;
  /** Tokens that each layer sees, itself included; all where undefined. */
  readonly windows: readonly (number | undefined)[];
}

/** Reads a config.json with the defaults of transformers' Qwen3Config. */
export function qwen3Config(json: JsonObject, file: string): Qwen3Config {
  const fields = new JsonFields(json, file);
  const config = readDecoderConfig(fields, "qwen3", {
    vocabSize: 151_936,
    hiddenSize: 4096,
    intermediateSize: 22_016,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 32,
    headDim: 128,
    maxPositionEmbeddings: 32_768,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: false,
    eosTokenIds: [],
  });
  return {
    ...withRope(config, fields),
    attentionBias: fields.boolean("attention_bias", false),
    windows: readQwenWindows(fields, config.numHiddenLayers),
  };
}

class Qwen3Attention extends SelfAttention {
  readonly qNorm: RMSNorm;
  readonly kNorm: RMSNorm;

  constructor(config: Qwen3Config, path: string, source: ParameterSource) {
    const { attentionBias, headDim, rmsNormEps } = config;
    super(config, path, source, { bias: { inputs: attentionBias, output: attentionBias } });
    this.qNorm = source.rmsNorm(`${path}.q_norm`, headDim, rmsNormEps);
    this.kNorm = source.rmsNorm(`${path}.k_norm`, headDim, rmsNormEps);
  }

  protected override queries(projected: Tensor): Tensor {
    return this.qNorm.forward(super.queries(projected));
  }

  protected override keys(projected: Tensor): Tensor {
    return this.kNorm.forward(super.keys(projected));
  }
}

const qwen3Layer = (config: Qwen3Config, path: string, source: ParameterSource): PreNormLayer =>
  new PreNormLayer(config, path, source, {
    selfAttn: () => new Qwen3Attention(config, `${path}.self_attn`, source),
    mlp: () => gatedMlp(config, path, source),
  });

/** Qwen3 with a language model head. */
export class Qwen3ForCausalLM extends RotaryDecoderLM<Qwen3Config> {
  constructor(config: Qwen3Config, source: ParameterSource) {
    super(
      config,
      source,
      () => new DecoderModel(config, "model", source, (_, path) => qwen3Layer(config, path, source)),
    );
  }

  protected override view(layer: number): LayerView {
    return { rotary: this.rotary, window: this.config.windows[layer] };
  }
}
