/** @file Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on queries, keys and values. */
import { readDecoderConfig, withRope, type RotaryDecoderConfig } from "./decoder_config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import { readQwenWindows } from "./layer_types.js";
import type { ParameterSource } from "./parameter_source.js";
import { gatedMlp, PreNormLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { SelfAttention } from "./self_attention.js";

export interface Qwen2Config extends RotaryDecoderConfig {
  /** Tokens that each layer sees, itself included; all where undefined. */
  readonly windows: readonly (number | undefined)[];
}

/** Reads a config.json with the defaults of transformers' Qwen2Config. */
export function qwen2Config(json: JsonObject, file: string): Qwen2Config {
  const fields = new JsonFields(json, file);
  const config = readDecoderConfig(fields, "qwen2", {
    vocabSize: 151_936,
    hiddenSize: 4096,
    intermediateSize: 22_016,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 32,
    maxPositionEmbeddings: 32_768,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: false,
    eosTokenIds: [],
  });
  return { ...withRope(config, fields), windows: readQwenWindows(fields, config.numHiddenLayers) };
}

const qwen2Layer = (config: Qwen2Config, path: string, source: ParameterSource): PreNormLayer =>
  new PreNormLayer(config, path, source, {
    selfAttn: () =>
      new SelfAttention(config, `${path}.self_attn`, source, { bias: { inputs: true, output: false } }),
    mlp: () => gatedMlp(config, path, source),
  });

/** Qwen2 with a language model head. */
export class Qwen2ForCausalLM extends RotaryDecoderLM<Qwen2Config> {
  constructor(config: Qwen2Config, source: ParameterSource) {
    super(
      config,
      source,
      () => new DecoderModel(config, "model", source, (_, path) => qwen2Layer(config, path, source)),
    );
  }

  protected override view(layer: number): LayerView {
    return { rotary: this.rotary, window: this.config.windows[layer] };
  }
}
