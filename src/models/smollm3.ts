/** @file SmolLM3 (Bakouch et al. 2025): Llama of which some layers know no positions. */
import { readDecoderConfig, withRope, type RotaryDecoderConfig } from "./decoder_config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import { readLayerTypes, readSlidingWindow, windowsOf } from "./layer_types.js";
import type { ParameterSource } from "./parameter_source.js";
import { gatedMlp, PreNormLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { SelfAttention } from "./self_attention.js";

export interface SmolLM3Config extends RotaryDecoderConfig {
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  /** Whether each layer turns queries and keys by their positions. */
  readonly rotates: readonly boolean[];
  /** Tokens that each layer sees, itself included; all where undefined. */
  readonly windows: readonly (number | undefined)[];
}

/** Reads a config.json with the defaults of transformers' SmolLM3Config. */
export function smollm3Config(json: JsonObject, file: string): SmolLM3Config {
  const fields = new JsonFields(json, file);
  const config = readDecoderConfig(fields, "smollm3", {
    vocabSize: 128_256,
    hiddenSize: 2048,
    intermediateSize: 11_008,
    numHiddenLayers: 36,
    numAttentionHeads: 16,
    numKeyValueHeads: 4,
    maxPositionEmbeddings: 32_768,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: true,
    eosTokenIds: [128_001],
  });
  const layers = config.numHiddenLayers;
  const rotates = readRotating(fields, layers);
  // transformers gives a window only to layers without positions, unless the file names the types.
  const window = fields.boolean("use_sliding_window", false)
    ? readSlidingWindow(fields, undefined)
    : undefined;
  const types = readLayerTypes(fields, layers, (i) =>
    window !== undefined && rotates[i] === false ? "sliding_attention" : "full_attention",
  );
  return {
    ...withRope(config, fields, 2_000_000),
    attentionBias: fields.boolean("attention_bias", false),
    mlpBias: fields.boolean("mlp_bias", false),
    rotates,
    windows: windowsOf(fields, types, window),
  };
}

/** `no_rope_layers` has, in spite of its name, a 1 for each layer that rotates. */
function readRotating(fields: JsonFields, layers: number): readonly boolean[] {
  const interval = fields.integer("no_rope_layer_interval", 4, { min: 1 });
  const key = "no_rope_layers";
  if (!fields.has(key)) return Array.from({ length: layers }, (_, i) => (i + 1) % interval !== 0);
  const given = fields.integers(key, { min: 0, max: 1 });
  if (given.length < layers)
    throw fields.error(key, `must have a number for each of the ${layers} layers, and has ${given.length}`);
  return given.slice(0, layers).map((flag) => flag === 1);
}

const smollm3Layer = (config: SmolLM3Config, path: string, source: ParameterSource): PreNormLayer =>
  new PreNormLayer(config, path, source, {
    selfAttn: () =>
      new SelfAttention(config, `${path}.self_attn`, source, {
        bias: { inputs: config.attentionBias, output: config.attentionBias },
      }),
    mlp: () => gatedMlp(config, path, source, config.mlpBias),
  });

/** SmolLM3 with a language model head. */
export class SmolLM3ForCausalLM extends RotaryDecoderLM<SmolLM3Config> {
  constructor(config: SmolLM3Config, source: ParameterSource) {
    super(
      config,
      source,
      () => new DecoderModel(config, "model", source, (_, path) => smollm3Layer(config, path, source)),
    );
  }

  protected override view(layer: number): LayerView {
    const { rotates, windows } = this.config;
    return { rotary: rotates[layer] === true ? this.rotary : undefined, window: windows[layer] };
  }
}
