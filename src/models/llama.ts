/** @file Llama (Touvron et al. 2023) and the models that share its architecture: SmolLM, TinyLlama, Llama 3. */
import { llamaConfigToJson, type LlamaConfig } from "./config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { ParameterSource } from "./parameter_source.js";
import { gatedMlp, PreNormLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { SelfAttention } from "./self_attention.js";

const llamaLayer = (config: LlamaConfig, path: string, source: ParameterSource): PreNormLayer =>
  new PreNormLayer(config, path, source, {
    selfAttn: () =>
      new SelfAttention(config, `${path}.self_attn`, source, {
        bias: { inputs: config.attentionBias, output: config.attentionBias },
      }),
    mlp: () => gatedMlp(config, path, source, config.mlpBias),
  });

/** Llama with a language model head. */
export class LlamaForCausalLM extends RotaryDecoderLM<LlamaConfig> {
  constructor(config: LlamaConfig, source: ParameterSource) {
    super(
      config,
      source,
      () => new DecoderModel(config, "model", source, (_, path) => llamaLayer(config, path, source)),
    );
  }

  override get configJson(): JsonObject {
    return llamaConfigToJson(this.config);
  }
}
