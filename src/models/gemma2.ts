/**
 * @file Gemma 2 (Gemma team 2024): norms before and behind attention and feed-forward part, soft caps of scores and
 * logits, and every other layer with a window.
 */
import { type GatedMLP, Module, type RMSNorm } from "../nn/index.js";
import { add, type Tensor } from "../tensor/index.js";
import { roundTo } from "../torch/float_bits.js";
import { rowsAt } from "./attend.js";
import { isGiven, readDecoderConfig, withRope, type RotaryDecoderConfig } from "./decoder_config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { LayerContext, LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import { readLayerTypes, readSlidingWindow, windowsOf } from "./layer_types.js";
import type { ParameterSource } from "./parameter_source.js";
import { gatedMlp, type DecoderLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { SelfAttention } from "./self_attention.js";

/** What Gemma 2 and 3 have beside the common settings. */
export interface GemmaConfig extends RotaryDecoderConfig {
  /** Whether all four projections of the attention have biases. */
  readonly attentionBias: boolean;
  /** The scores' factor is its inverse square root. */
  readonly queryPreAttnScalar: number;
  /** Of the attention scores. */
  readonly attnLogitSoftcapping: number | undefined;
  /** Of the logits. */
  readonly finalLogitSoftcapping: number | undefined;
  /** Tokens that each layer sees, itself included; all where undefined. */
  readonly windows: readonly (number | undefined)[];
}

/** Reads a config.json with the defaults of transformers' Gemma2Config. */
export function gemma2Config(json: JsonObject, file: string): GemmaConfig {
  const fields = new JsonFields(json, file);
  refuseBidirectional(fields);
  const config = readDecoderConfig(fields, "gemma2", {
    vocabSize: 256_000,
    hiddenSize: 2304,
    intermediateSize: 9216,
    numHiddenLayers: 26,
    numAttentionHeads: 8,
    numKeyValueHeads: 4,
    headDim: 256,
    activation: ["hidden_activation", "gelu_pytorch_tanh"],
    maxPositionEmbeddings: 8192,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: true,
    eosTokenIds: [1],
  });
  const types = readLayerTypes(fields, config.numHiddenLayers, (i) =>
    i % 2 === 0 ? "sliding_attention" : "full_attention",
  );
  return {
    ...withRope(config, fields),
    attentionBias: fields.boolean("attention_bias", false),
    queryPreAttnScalar: fields.number("query_pre_attn_scalar", 256, { above: 0 }),
    attnLogitSoftcapping: readSoftcap(fields, "attn_logit_softcapping", 50),
    finalLogitSoftcapping: readSoftcap(fields, "final_logit_softcapping", 30),
    windows: windowsOf(fields, types, readSlidingWindow(fields, 4096)),
  };
}

export const refuseBidirectional = (fields: JsonFields): void =>
  fields.refuseUnless("use_bidirectional_attention", [false], "only causal attention is supported");

/** Null stands for none, whatever the default is. */
export const readSoftcap = (fields: JsonFields, key: string, fallback?: number): number | undefined =>
  fields.optionalNumber(key, { above: 0 }) ?? (isGiven(fields, key) ? undefined : fallback);

export class Gemma2Attention extends SelfAttention {
  constructor(config: GemmaConfig, path: string, source: ParameterSource) {
    const { attentionBias: bias, queryPreAttnScalar, attnLogitSoftcapping } = config;
    super(config, path, source, {
      bias: { inputs: bias, output: bias },
      scale: 1 / Math.sqrt(queryPreAttnScalar),
      softcap: attnLogitSoftcapping,
    });
  }
}

/** The block of Gemma 2 and 3. Their norms keep weights as differences from 1. */
export class Gemma2DecoderLayer extends Module implements DecoderLayer {
  readonly inputLayernorm: RMSNorm;
  readonly selfAttn: Gemma2Attention;
  readonly postAttentionLayernorm: RMSNorm;
  readonly preFeedforwardLayernorm: RMSNorm;
  readonly mlp: GatedMLP;
  readonly postFeedforwardLayernorm: RMSNorm;

  constructor(
    config: GemmaConfig,
    path: string,
    source: ParameterSource,
    Attention: typeof Gemma2Attention = Gemma2Attention,
  ) {
    super();
    const norm = (name: string): RMSNorm =>
      source.rmsNorm(`${path}.${name}`, config.hiddenSize, config.rmsNormEps, 1);
    this.inputLayernorm = norm("input_layernorm");
    this.selfAttn = new Attention(config, `${path}.self_attn`, source);
    this.postAttentionLayernorm = norm("post_attention_layernorm");
    this.preFeedforwardLayernorm = norm("pre_feedforward_layernorm");
    this.mlp = gatedMlp(config, path, source);
    this.postFeedforwardLayernorm = norm("post_feedforward_layernorm");
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    const { dtype, places } = context;
    const attended = this.selfAttn.forward(this.inputLayernorm.forward(x, dtype), context);
    const middle = add(rowsAt(x, places), this.postAttentionLayernorm.forward(attended, x.dtype));
    const fed = this.mlp.forward(this.preFeedforwardLayernorm.forward(middle, dtype));
    return add(middle, this.postFeedforwardLayernorm.forward(fed, x.dtype));
  }
}

/** The body of Gemma 2 and 3, whose embeddings are scaled by sqrt(hidden) as the dtype of products rounds it. */
export const gemmaModel = (
  config: GemmaConfig,
  path: string,
  source: ParameterSource,
  Attention?: typeof Gemma2Attention,
): DecoderModel =>
  new DecoderModel(config, path, source, (_, at) => new Gemma2DecoderLayer(config, at, source, Attention), {
    embedScale: roundTo(Math.sqrt(config.hiddenSize), source.dtype),
    normOffset: 1,
  });

/** Gemma 2 with a language model head. */
export class Gemma2ForCausalLM extends RotaryDecoderLM<GemmaConfig> {
  constructor(config: GemmaConfig, source: ParameterSource) {
    super(config, source, () => gemmaModel(config, "model", source));
  }

  override get logitSoftcap(): number | undefined {
    return this.config.finalLogitSoftcapping;
  }

  protected override view(layer: number): LayerView {
    return { rotary: this.rotary, window: this.config.windows[layer] };
  }
}
