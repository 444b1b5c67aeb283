/** @file Phi-3, Phi-3.5 and Phi-4-mini (Abdin et al. 2024): Llama with joined projections, and LongRoPE. */
import { gated, Module, splitOutputs, type Activation, type Linear } from "../nn/index.js";
import { dropout, type Tensor } from "../tensor/index.js";
import { attend, splitHeads } from "./attend.js";
import { readDecoderConfig, readDropout, type RotaryDecoderConfig } from "./decoder_config.js";
import { DecoderModel, RotaryDecoderLM } from "./decoder.js";
import type { LayerContext, LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import { readSlidingWindow } from "./layer_types.js";
import type { ParameterSource } from "./parameter_source.js";
import { PreNormLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { partialRotarySize, readRope } from "./rope_config.js";

export interface Phi3Config extends RotaryDecoderConfig {
  readonly rotarySize: number;
  /** Dropout of what attention and feed-forward part add, in training. */
  readonly residPdrop: number;
  /** Tokens that each layer sees, itself included; all if undefined. */
  readonly slidingWindow: number | undefined;
}

/** Reads a config.json with the defaults of transformers' Phi3Config. */
export function phi3Config(json: JsonObject, file: string): Phi3Config {
  const fields = new JsonFields(json, file);
  const config = readDecoderConfig(fields, "phi3", {
    vocabSize: 32_064,
    hiddenSize: 3072,
    intermediateSize: 8192,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    maxPositionEmbeddings: 4096,
    rmsNormEps: 1e-5,
    tieWordEmbeddings: false,
    eosTokenIds: [32_000],
  });
  const { headDim, maxPositionEmbeddings } = config;
  const rotarySize = partialRotarySize(fields, headDim);
  const rope = readRope(fields, {
    maxPositionEmbeddings,
    rotarySize,
    partial: true,
    types: ["default", "longrope"],
    // As the first versions called it; what they named yarn was never YaRN.
    aliases: { su: "longrope", yarn: "longrope" },
    originalLength: 4096,
  });
  return {
    ...config,
    rope,
    rotarySize,
    residPdrop: readDropout(fields, "resid_pdrop", 0),
    slidingWindow: readSlidingWindow(fields, undefined),
  };
}

class Phi3Attention extends Module {
  readonly oProj: Linear;
  readonly qkvProj: Linear;
  readonly #config: Phi3Config;

  constructor(config: Phi3Config, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, numAttentionHeads, numKeyValueHeads, headDim } = config;
    const joined = (numAttentionHeads + 2 * numKeyValueHeads) * headDim;
    this.oProj = source.linear(`${path}.o_proj`, hiddenSize, numAttentionHeads * headDim, false);
    this.qkvProj = source.linear(`${path}.qkv_proj`, joined, hiddenSize, false);
    this.#config = config;
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    const { numAttentionHeads, numKeyValueHeads, headDim, attentionDropout } = this.#config;
    const sizes = [numAttentionHeads, numKeyValueHeads, numKeyValueHeads].map((n) => n * headDim);
    const [q, k, v] = splitOutputs(this.qkvProj.forward(x), sizes).map((y) => splitHeads(y, headDim));
    const options = { scale: 1 / Math.sqrt(headDim), dropout: attentionDropout };
    return this.oProj.forward(attend(q!, k!, v!, context, options));
  }
}

class Phi3MLP extends Module {
  readonly gateUpProj: Linear;
  readonly downProj: Linear;
  readonly #activation: Activation;

  constructor(
    { hiddenSize, intermediateSize, hiddenAct }: Phi3Config,
    path: string,
    source: ParameterSource,
  ) {
    super();
    this.gateUpProj = source.linear(`${path}.gate_up_proj`, 2 * intermediateSize, hiddenSize, false);
    this.downProj = source.linear(`${path}.down_proj`, hiddenSize, intermediateSize, false);
    this.#activation = hiddenAct;
  }

  forward(x: Tensor): Tensor {
    const size = this.downProj.inFeatures;
    const [gate, up] = splitOutputs(this.gateUpProj.forward(x), [size, size]);
    return this.downProj.forward(gated(gate!, up!, this.#activation));
  }
}

class Phi3DecoderLayer extends PreNormLayer {
  readonly #residPdrop: number;

  constructor(config: Phi3Config, path: string, source: ParameterSource) {
    super(config, path, source, {
      selfAttn: () => new Phi3Attention(config, `${path}.self_attn`, source),
      mlp: () => new Phi3MLP(config, `${path}.mlp`, source),
    });
    this.#residPdrop = config.residPdrop;
  }

  protected override dropped(branch: Tensor): Tensor {
    return dropout(branch, this.#residPdrop);
  }
}

/** Phi-3 with a language model head. */
export class Phi3ForCausalLM extends RotaryDecoderLM<Phi3Config> {
  constructor(config: Phi3Config, source: ParameterSource) {
    super(
      config,
      source,
      () =>
        new DecoderModel(config, "model", source, (_, path) => new Phi3DecoderLayer(config, path, source)),
    );
  }

  protected override view(): LayerView {
    return { rotary: this.rotary, window: this.config.slidingWindow };
  }
}
