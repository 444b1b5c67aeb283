/** @file Mistral 7B (Jiang et al. 2023) and what is built on it, such as Zephyr: Llama with a window of tokens. */
import { readDecoderConfig, withRope, type RotaryDecoderConfig } from "./decoder_config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import { readSlidingWindow } from "./layer_types.js";
import type { ParameterSource } from "./parameter_source.js";
import { gatedMlp, PreNormLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { SelfAttention } from "./self_attention.js";

export interface MistralConfig extends RotaryDecoderConfig {
  /** Tokens that each layer sees, itself included; all if undefined. */
  readonly slidingWindow: number | undefined;
}

/** Reads a config.json with the defaults of transformers' MistralConfig. */
export function mistralConfig(json: JsonObject, file: string): MistralConfig {
  const fields = new JsonFields(json, file);
  const config = readDecoderConfig(fields, "mistral", {
    vocabSize: 32_000,
    hiddenSize: 4096,
    intermediateSize: 14_336,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 8,
    maxPositionEmbeddings: 4096 * 32,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: false,
    eosTokenIds: [2],
  });
  return { ...withRope(config, fields), slidingWindow: readSlidingWindow(fields, 4096) };
}

const mistralLayer = (config: MistralConfig, path: string, source: ParameterSource): PreNormLayer =>
  new PreNormLayer(config, path, source, {
    selfAttn: () => new SelfAttention(config, `${path}.self_attn`, source),
    mlp: () => gatedMlp(config, path, source),
  });

/** Mistral with a language model head. */
export class MistralForCausalLM extends RotaryDecoderLM<MistralConfig> {
  constructor(config: MistralConfig, source: ParameterSource) {
    super(
      config,
      source,
      () => new DecoderModel(config, "model", source, (_, path) => mistralLayer(config, path, source)),
    );
  }

  protected override view(): LayerView {
    return { rotary: this.rotary, window: this.config.slidingWindow };
  }
}
