/** @file The config.json of Llama models, with the defaults of transformers' LlamaConfig. */
import { isDeepStrictEqual } from "node:util";
import type { Activation } from "../nn/activation.js";
import { isFloating, type DType } from "../torch/dtype.js";
import { readConfigDType } from "./config_file.js";
import {
  readActivation,
  readAttentionDropout,
  readEosTokenIds,
  readHeadDim,
  readKeyValueHeads,
  refuseUnsupported,
  rotaryHeadDim,
} from "./decoder_config.js";
import { JsonFields } from "./json_fields.js";
import { jsonFloat, type JsonObject, type JsonValue } from "./python_json.js";
import { readRope, writeRope, type RopeParameters } from "./rope_config.js";

export interface LlamaConfig {
  readonly modelType: "llama";
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  /** Divides `numAttentionHeads`. */
  readonly numKeyValueHeads: number;
  /** Even. */
  readonly headDim: number;
  readonly hiddenAct: Activation;
  readonly maxPositionEmbeddings: number;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
  readonly rmsNormEps: number;
  readonly tieWordEmbeddings: boolean;
  readonly attentionBias: boolean;
  /** Dropout of attention weights in training, in [0, 1). */
  readonly attentionDropout: number;
  readonly mlpBias: boolean;
  readonly rope: RopeParameters;
  readonly padTokenId: number | undefined;
  readonly bosTokenId: number | undefined;
  /** Each of these ends a text. */
  readonly eosTokenIds: readonly number[];
  /** The dtype the weights were saved in. */
  readonly dtype: DType | undefined;
  /** The file that this was read from; what is not understood here is kept for it to be written again. */
  readonly json: JsonObject;
}

const activationNames: Readonly<Record<Activation, string>> = {
  silu: "silu",
  gelu: "gelu",
  gelu_tanh: "gelu_pytorch_tanh",
};

/**
 * Reads a Llama config. Fields that are absent or null get the defaults of transformers' LlamaConfig.
 *
 * @param file where `json` comes from, for messages
 * @throws CraftError naming the file and the field, for values out of range and for options that are not supported.
 */
export function llamaConfigFromJson(json: JsonObject, file: string): LlamaConfig {
  const fields = new JsonFields(json, file);
  const modelType = fields.optionalString("model_type") ?? "llama";
  if (modelType !== "llama") throw fields.error("model_type", "is not llama");
  refuseUnsupported(fields);
  const size = { min: 1 };
  const hiddenSize = fields.integer("hidden_size", 4096, size);
  const numAttentionHeads = fields.integer("num_attention_heads", 32, size);
  const headDim = rotaryHeadDim(fields, readHeadDim(fields, hiddenSize, numAttentionHeads));
  const maxPositionEmbeddings = fields.integer("max_position_embeddings", 2048, size);
  const [padTokenId, bosTokenId] = ["pad_token_id", "bos_token_id"].map((key) => tokenId(fields, key));
  return {
    modelType,
    vocabSize: fields.integer("vocab_size", 32_000, size),
    hiddenSize,
    intermediateSize: fields.integer("intermediate_size", 11_008, size),
    numHiddenLayers: fields.integer("num_hidden_layers", 32, size),
    numAttentionHeads,
    numKeyValueHeads: readKeyValueHeads(fields, numAttentionHeads),
    headDim,
    hiddenAct: readActivation(fields, "hidden_act", "silu"),
    maxPositionEmbeddings,
    initializerRange: fields.number("initializer_range", 0.02, { min: 0, max: 1 }),
    rmsNormEps: fields.number("rms_norm_eps", 1e-6, { min: 0 }),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
    attentionBias: fields.boolean("attention_bias", false),
    attentionDropout: readAttentionDropout(fields),
    mlpBias: fields.boolean("mlp_bias", false),
    rope: readRope(fields, { maxPositionEmbeddings, rotarySize: headDim }),
    padTokenId,
    bosTokenId: "bos_token_id" in json ? bosTokenId : 1,
    eosTokenIds: readEosTokenIds(fields, [2]),
    dtype: readConfigDType(fields),
    json,
  };
}

/** The first Llama checkpoints write -1 for no token. */
function tokenId(fields: JsonFields, key: string): number | undefined {
  const id = fields.optionalInteger(key, { min: -1 });
  return id === -1 ? undefined : id;
}

type Writer = (config: LlamaConfig, original: JsonObject) => Readonly<Record<string, JsonValue>>;

const writers: Readonly<Record<Exclude<keyof LlamaConfig, "json" | "modelType">, Writer>> = {
  vocabSize: (config) => ({ vocab_size: config.vocabSize }),
  hiddenSize: (config) => ({ hidden_size: config.hiddenSize }),
  intermediateSize: (config) => ({ intermediate_size: config.intermediateSize }),
  numHiddenLayers: (config) => ({ num_hidden_layers: config.numHiddenLayers }),
  numAttentionHeads: (config) => ({ num_attention_heads: config.numAttentionHeads }),
  numKeyValueHeads: (config) => ({ num_key_value_heads: config.numKeyValueHeads }),
  headDim: (config) => ({ head_dim: config.headDim }),
  hiddenAct: (config) => ({ hidden_act: activationNames[config.hiddenAct] }),
  maxPositionEmbeddings: (config) => ({ max_position_embeddings: config.maxPositionEmbeddings }),
  initializerRange: (config) => ({ initializer_range: jsonFloat(config.initializerRange) }),
  rmsNormEps: (config) => ({ rms_norm_eps: jsonFloat(config.rmsNormEps) }),
  tieWordEmbeddings: (config) => ({ tie_word_embeddings: config.tieWordEmbeddings }),
  attentionBias: (config) => ({ attention_bias: config.attentionBias }),
  attentionDropout: (config) => ({ attention_dropout: jsonFloat(config.attentionDropout) }),
  mlpBias: (config) => ({ mlp_bias: config.mlpBias }),
  rope: (config, original) => writeRope(config.rope, original),
  padTokenId: (config) => ({ pad_token_id: config.padTokenId ?? null }),
  bosTokenId: (config) => ({ bos_token_id: config.bosTokenId ?? null }),
  eosTokenIds: ({ eosTokenIds }) => ({
    eos_token_id: eosTokenIds.length > 1 ? eosTokenIds : (eosTokenIds[0] ?? null),
  }),
  dtype: ({ dtype }, original) => {
    const value = dtype !== undefined && isFloating(dtype) ? dtype : null;
    const present = ["dtype", "torch_dtype"].filter((key) => key in original);
    return Object.fromEntries((present.length > 0 ? present : ["torch_dtype"]).map((key) => [key, value]));
  },
};

/**
 * The config as JSON: the file it came from, with only the fields changed that differ from it, so that what Python
 * wrote there and is not understood here stays. A config that came from no file is written in full.
 */
export function llamaConfigToJson(config: LlamaConfig): JsonObject {
  const original = config.json;
  const fresh = Object.keys(original).length === 0;
  const before = llamaConfigFromJson(original, "config.json");
  const result: Record<string, JsonValue> = { ...original };
  for (const [name, write] of Object.entries(writers)) {
    const key = name as keyof typeof writers;
    if (fresh || !isDeepStrictEqual(before[key], config[key])) Object.assign(result, write(config, original));
  }
  if (fresh) Object.assign(result, { architectures: ["LlamaForCausalLM"], model_type: "llama" });
  return result;
}
