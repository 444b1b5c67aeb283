/** @file What the config.json of most decoders has in common, and the checks of it. */
import type { Activation } from "../nn/activation.js";
import type { JsonFields } from "./json_fields.js";
import type { JsonObject } from "./python_json.js";
import { storedQuantization } from "./quantization_config.js";
import { readRope, type RopeParameters } from "./rope_config.js";

/** The sizes and settings that all decoders share; an architecture adds its own. */
export interface DecoderConfig {
  /** The value of `model_type`. */
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  /** Divides `numAttentionHeads`. */
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly hiddenAct: Activation;
  readonly maxPositionEmbeddings: number;
  readonly tieWordEmbeddings: boolean;
  /** Dropout of attention weights in training, in [0, 1). */
  readonly attentionDropout: number;
  /** Each of these ends a text. */
  readonly eosTokenIds: readonly number[];
  /** The file that this was read from. */
  readonly json: JsonObject;
}

/** A decoder with rotary positions and root mean square norms. */
export interface RotaryDecoderConfig extends DecoderConfig {
  readonly rmsNormEps: number;
  readonly rope: RopeParameters;
  /** Elements of each head that are rotated, from the first on; all by default. */
  readonly rotarySize?: number;
}

/** What transformers takes for fields that are absent, or present without being understood here. */
export interface DecoderDefaults {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  /** As many as attention heads where this is absent. */
  readonly numKeyValueHeads?: number;
  /** `hiddenSize / numAttentionHeads` where this is absent. */
  readonly headDim?: number;
  /** Name and default of the activation's field. */
  readonly activation?: readonly [key: string, name: string];
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly tieWordEmbeddings: boolean;
  readonly eosTokenIds: readonly number[];
}

/**
 * Reads the fields that most architectures share.
 *
 * @throws CraftError naming the file and the field, for values out of range and options that are not supported.
 */
export function readDecoderConfig(
  fields: JsonFields,
  modelType: string,
  defaults: DecoderDefaults,
): Omit<RotaryDecoderConfig, "rope"> {
  refuseUnsupported(fields);
  const size = { min: 1 };
  const hiddenSize = fields.integer("hidden_size", defaults.hiddenSize, size);
  const heads = fields.integer("num_attention_heads", defaults.numAttentionHeads, size);
  return {
    modelType,
    vocabSize: fields.integer("vocab_size", defaults.vocabSize, size),
    hiddenSize,
    intermediateSize: fields.integer("intermediate_size", defaults.intermediateSize, size),
    numHiddenLayers: fields.integer("num_hidden_layers", defaults.numHiddenLayers, size),
    numAttentionHeads: heads,
    numKeyValueHeads: readKeyValueHeads(fields, heads, defaults.numKeyValueHeads),
    headDim: readHeadDim(fields, hiddenSize, heads, defaults.headDim),
    hiddenAct: readActivation(fields, ...(defaults.activation ?? (["hidden_act", "silu"] as const))),
    maxPositionEmbeddings: fields.integer("max_position_embeddings", defaults.maxPositionEmbeddings, size),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", defaults.tieWordEmbeddings),
    attentionDropout: readAttentionDropout(fields),
    rmsNormEps: fields.number("rms_norm_eps", defaults.rmsNormEps, { min: 0 }),
    eosTokenIds: readEosTokenIds(fields, defaults.eosTokenIds),
    json: fields.json,
  };
}

/** Adds one rotary embedding for all layers, over whole heads. */
export function withRope<C extends Omit<RotaryDecoderConfig, "rope">>(
  config: C,
  fields: JsonFields,
  theta?: number,
): C & { readonly rope: RopeParameters } {
  const { maxPositionEmbeddings, headDim } = config;
  const context = { maxPositionEmbeddings, rotarySize: rotaryHeadDim(fields, headDim) };
  return { ...config, rope: readRope(fields, { ...context, ...(theta === undefined ? {} : { theta }) }) };
}

/** Refuses what no architecture here supports. */
export function refuseUnsupported(fields: JsonFields): void {
  const remedy = "Use a model without it";
  storedQuantization(fields);
  fields.refuseUnless("per_layer_config", [{}], "settings of single layers are not supported", remedy);
  fields.refuseUnless("is_encoder_decoder", [false], "encoder-decoder models are not supported", remedy);
}

/** Whether the file has the field, were it null: what is null can mean another thing than what is absent. */
export const isGiven = (fields: JsonFields, key: string): boolean => Object.hasOwn(fields.json, key);

/** Null stands for as many as attention heads, whatever the default is. */
export function readKeyValueHeads(fields: JsonFields, heads: number, fallback = heads): number {
  const key = "num_key_value_heads";
  const count = fields.integer(key, isGiven(fields, key) ? heads : fallback, { min: 1 });
  if (heads % count !== 0) throw fields.error(key, `does not divide num_attention_heads, which is ${heads}`);
  return count;
}

export function readHeadDim(
  fields: JsonFields,
  hiddenSize: number,
  heads: number,
  fallback?: number,
): number {
  const given = fields.optionalInteger("head_dim", { min: 1 }) ?? fallback;
  if (given === undefined && hiddenSize % heads !== 0)
    throw fields.error("hidden_size", `is not a multiple of num_attention_heads, which is ${heads}`);
  return given ?? hiddenSize / heads;
}

/** Refuses a head that cannot be rotated whole. */
export function rotaryHeadDim(fields: JsonFields, headDim: number): number {
  if (headDim % 2 === 0) return headDim;
  const [key, reason] = fields.has("head_dim")
    ? (["head_dim", "is odd"] as const)
    : (["hidden_size", `divided by num_attention_heads gives ${headDim}`] as const);
  throw fields.error(key, `${reason}; rotary embeddings need an even number`);
}

const activations: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_accurate: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  gelu_python_tanh: "gelu_tanh",
};

export function readActivation(fields: JsonFields, key: string, fallback: string): Activation {
  const name = fields.optionalString(key) ?? fallback;
  const found = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (found === undefined)
    throw fields.error(
      key,
      "is not a supported activation",
      `Supported are ${Object.keys(activations).join(", ")}`,
    );
  return found;
}

export const readAttentionDropout = (fields: JsonFields): number =>
  readDropout(fields, "attention_dropout", 0);

/** A rate in [0, 1). */
export function readDropout(fields: JsonFields, key: string, fallback: number): number {
  const rate = fields.number(key, fallback, { min: 0 });
  if (rate >= 1) throw fields.error(key, "must be below 1");
  return rate;
}

/** Null stands for none, whatever the default is. */
export const readEosTokenIds = (fields: JsonFields, fallback: readonly number[]): readonly number[] =>
  isGiven(fields, "eos_token_id") ? fields.integers("eos_token_id", { min: 0 }) : fallback;
