/**
 * @file The text models of Gemma 3 (Gemma team 2025): Gemma 2 with norms on queries and keys in place of soft caps, and
 * rotary embeddings of their own for layers with a window.
 */
import type { RMSNorm } from "../nn/index.js";
import type { Tensor } from "../tensor/index.js";
import { readDecoderConfig, rotaryHeadDim } from "./decoder_config.js";
import { RotaryDecoderLM } from "./decoder.js";
import type { LayerView } from "./forward_pass.js";
import { Gemma2Attention, gemmaModel, readSoftcap, refuseBidirectional, type GemmaConfig } from "./gemma2.js";
import { JsonFields } from "./json_fields.js";
import { readLayerTypes, readSlidingWindow, windowsOf, type LayerType } from "./layer_types.js";
import type { ParameterSource } from "./parameter_source.js";
import type { JsonObject } from "./python_json.js";
import type { Rotary } from "./rope.js";
import { readScaling, type RopeParameters } from "./rope_config.js";

export interface Gemma3TextConfig extends GemmaConfig {
  /** Rotary embedding of the layers that have a window; `rope` is that of the others. */
  readonly localRope: RopeParameters;
}

/** Reads a config.json with the defaults of transformers' Gemma3TextConfig. */
export function gemma3TextConfig(json: JsonObject, file: string): Gemma3TextConfig {
  return gemma3TextConfigOf(new JsonFields(json, file));
}

export function gemma3TextConfigOf(fields: JsonFields): Gemma3TextConfig {
  refuseBidirectional(fields);
  fields.refuseUnless("attn_logit_softcapping", [], "transformers' Gemma 3 does not cap scores");
  const config = readDecoderConfig(fields, "gemma3_text", {
    vocabSize: 262_208,
    hiddenSize: 2304,
    intermediateSize: 9216,
    numHiddenLayers: 26,
    numAttentionHeads: 8,
    numKeyValueHeads: 4,
    headDim: 256,
    activation: ["hidden_activation", "gelu_pytorch_tanh"],
    maxPositionEmbeddings: 131_072,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: true,
    eosTokenIds: [1],
  });
  const pattern = fields.integer("sliding_window_pattern", 6, { min: 1 });
  const types = readLayerTypes(fields, config.numHiddenLayers, (i) =>
    (i + 1) % pattern === 0 ? "full_attention" : "sliding_attention",
  );
  const rotary = { rotarySize: rotaryHeadDim(fields, config.headDim), ...config };
  return {
    ...config,
    attentionBias: fields.boolean("attention_bias", false),
    queryPreAttnScalar: fields.number("query_pre_attn_scalar", 256, { above: 0 }),
    attnLogitSoftcapping: undefined,
    finalLogitSoftcapping: readSoftcap(fields, "final_logit_softcapping"),
    windows: windowsOf(fields, types, readSlidingWindow(fields, 4096)),
    rope: readLayerRope(fields, "full_attention", rotary),
    localRope: readLayerRope(fields, "sliding_attention", rotary),
  };
}

interface RotaryContext {
  readonly rotarySize: number;
  readonly maxPositionEmbeddings: number;
}

/**
 * Reads `rope_parameters`, which has an object for each type of layers (transformers 5), or `rope_theta`, `rope_scaling`
 * and `rope_local_base_freq` (4), of which `rope_scaling` is for the layers without a window alone.
 */
function readLayerRope(fields: JsonFields, type: LayerType, context: RotaryContext): RopeParameters {
  const all = fields.object("rope_parameters");
  const other = all?.keys().find((key) => key !== "full_attention" && key !== "sliding_attention");
  if (other !== undefined)
    throw all!.error(other, "is not a type of layers", "Known are full_attention, sliding_attention");
  const local = type === "sliding_attention";
  const own = all?.object(type);
  const scaling = local ? undefined : fields.object("rope_scaling");
  const theta =
    own?.has("rope_theta") === true ? own : scaling?.has("rope_theta") === true ? scaling : undefined;
  const value =
    theta?.number("rope_theta", 0, { above: 0 }) ??
    (local
      ? fields.number("rope_local_base_freq", 10_000, { above: 0 })
      : fields.number("rope_theta", 1_000_000, { above: 0 }));
  return readScaling(scaling ?? own, fields, value, context);
}

/** Attention with a norm on each head of queries and keys. */
export class Gemma3Attention extends Gemma2Attention {
  readonly qNorm: RMSNorm;
  readonly kNorm: RMSNorm;

  constructor(config: GemmaConfig, path: string, source: ParameterSource) {
    super(config, path, source);
    const { headDim, rmsNormEps } = config;
    this.qNorm = source.rmsNorm(`${path}.q_norm`, headDim, rmsNormEps, 1);
    this.kNorm = source.rmsNorm(`${path}.k_norm`, headDim, rmsNormEps, 1);
  }

  protected override queries(projected: Tensor): Tensor {
    return this.qNorm.forward(super.queries(projected));
  }

  protected override keys(projected: Tensor): Tensor {
    return this.kNorm.forward(super.keys(projected));
  }
}

/** The rotary embedding and window of each layer. */
export function gemma3Views(config: Gemma3TextConfig): readonly LayerView[] {
  const { headDim: size, maxPositionEmbeddings: maxPositions } = config;
  const whole: Rotary = { rope: config.rope, size, maxPositions };
  const local: Rotary = { rope: config.localRope, size, maxPositions };
  return config.windows.map((window) => ({ window, rotary: window === undefined ? whole : local }));
}

/** Gemma 3 with a language model head. */
export class Gemma3ForCausalLM extends RotaryDecoderLM<Gemma3TextConfig> {
  readonly #views: readonly LayerView[];

  constructor(config: Gemma3TextConfig, source: ParameterSource) {
    super(config, source, () => gemmaModel(config, "model", source, Gemma3Attention));
    this.#views = gemma3Views(config);
  }

  override get logitSoftcap(): number | undefined {
    return this.config.finalLogitSoftcapping;
  }

  protected override view(layer: number): LayerView {
    return this.#views[layer]!;
  }
}
