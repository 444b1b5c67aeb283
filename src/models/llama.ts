/** @file Llama (Touvron et al. 2023) and the models that share its architecture: SmolLM, TinyLlama, Llama 3. */
import { CraftError } from "../errors.js";
import {
  Embedding,
  GatedMLP,
  Linear,
  Module,
  RMSNorm,
  applyRotary,
  documentBias,
  embeddingNoise,
  linearTogether,
  rotaryTables,
  type RotaryTables,
} from "../nn/index.js";
import {
  add,
  arange,
  attention,
  causalBias,
  constant,
  HostTensor,
  indexSelect,
  maximum,
  paddingBias,
  reshape,
  scope,
  type Parameter,
  type Tensor,
} from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import { CausalLM, type ForwardOptions, type LayerCaches, type ModelShape } from "./causal_lm.js";
import { llamaConfigToJson, type LlamaConfig } from "./config.js";
import type { ParameterSource } from "./parameter_source.js";
import type { JsonObject } from "./python_json.js";
import { inverseFrequencies } from "./rope.js";

/** Added to the score of padding. Finite in float16 too: a padded position sees padding alone, and must not get NaN. */
const hiddenScore = -30_000;

/** What all layers of one forward pass share. */
interface Shared {
  readonly rotary: RotaryTables;
  readonly bias: Tensor;
  readonly cache: LayerCaches | undefined;
  readonly dtype: DType;
}

/** Rows [n, size] of x [batch, length, size]; all of x without places. */
const rowsAt = (x: Tensor, places: Tensor | undefined): Tensor =>
  places === undefined ? x : indexSelect(reshape(x, [-1, x.shape[2]!]), 0, places);

class LlamaAttention extends Module {
  readonly qProj: Linear;
  readonly kProj: Linear;
  readonly vProj: Linear;
  readonly oProj: Linear;
  readonly #headSize: number;
  readonly #dropout: number;

  constructor(config: LlamaConfig, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, numAttentionHeads, numKeyValueHeads, headDim } = config;
    const linear = (name: string, out: number, input: number): Linear =>
      source.linear(`${path}.${name}`, out, input, config.attentionBias);
    this.qProj = linear("q_proj", numAttentionHeads * headDim, hiddenSize);
    this.kProj = linear("k_proj", numKeyValueHeads * headDim, hiddenSize);
    this.vProj = linear("v_proj", numKeyValueHeads * headDim, hiddenSize);
    this.oProj = linear("o_proj", hiddenSize, numAttentionHeads * headDim);
    this.#headSize = headDim;
    this.#dropout = config.attentionDropout;
  }

  /** @param places whose outputs are wanted, as rows; all by default */
  forward(x: Tensor, layer: number, { rotary, bias, cache }: Shared, places?: Tensor): Tensor {
    const [batch, length] = x.shape as readonly [number, number];
    // [batch, length, heads * size] to [batch, heads, length, size]
    const heads = (y: Tensor): Tensor => y.reshape([batch, length, -1, this.#headSize]).permute([0, 2, 1, 3]);
    const projected = linearTogether([this.qProj, this.kProj, this.vProj], x);
    const q = applyRotary(heads(projected[0]), rotary, 1 / Math.sqrt(this.#headSize));
    const k = applyRotary(heads(projected[1]), rotary);
    const v = heads(projected[2]);
    const { keys, values } = cache === undefined ? { keys: k, values: v } : cache.update(layer, k, v);
    const mixed = attention(q, keys, values, { bias, scale: 1, dropout: this.#dropout });
    const joined = mixed.permute([0, 2, 1, 3]).reshape([batch, length, -1]);
    return this.oProj.forward(rowsAt(joined, places));
  }
}

class LlamaDecoderLayer extends Module {
  readonly inputLayernorm: RMSNorm;
  readonly selfAttn: LlamaAttention;
  readonly postAttentionLayernorm: RMSNorm;
  readonly mlp: GatedMLP;

  constructor(config: LlamaConfig, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, intermediateSize, rmsNormEps, mlpBias } = config;
    const norm = (name: string): RMSNorm =>
      new RMSNorm(source.parameter(`${path}.${name}.weight`, [hiddenSize]), rmsNormEps);
    const linear = (name: string, out: number, input: number): Linear =>
      source.linear(`${path}.mlp.${name}`, out, input, mlpBias);
    this.inputLayernorm = norm("input_layernorm");
    this.selfAttn = new LlamaAttention(config, `${path}.self_attn`, source);
    this.postAttentionLayernorm = norm("post_attention_layernorm");
    this.mlp = new GatedMLP(
      linear("gate_proj", intermediateSize, hiddenSize),
      linear("up_proj", intermediateSize, hiddenSize),
      linear("down_proj", hiddenSize, intermediateSize),
      config.hiddenAct,
    );
  }

  /** The residual stream stays in float32; each branch computes in the model's dtype. */
  forward(x: Tensor, layer: number, shared: Shared, places?: Tensor): Tensor {
    const normed = this.inputLayernorm.forward(x, shared.dtype);
    const attended = this.selfAttn.forward(normed, layer, shared, places);
    const middle = add(rowsAt(x, places), attended.to(x.dtype));
    const fed = this.mlp.forward(this.postAttentionLayernorm.forward(middle, shared.dtype));
    return add(middle, fed.to(x.dtype));
  }
}

class LlamaModel extends Module {
  readonly embedTokens: Embedding;
  readonly layers: readonly LlamaDecoderLayer[];
  readonly norm: RMSNorm;

  constructor(config: LlamaConfig, source: ParameterSource) {
    super();
    const { vocabSize, hiddenSize, numHiddenLayers, rmsNormEps } = config;
    this.embedTokens = new Embedding(source.parameter("model.embed_tokens.weight", [vocabSize, hiddenSize]));
    this.layers = Array.from(
      { length: numHiddenLayers },
      (_, i) => new LlamaDecoderLayer(config, `model.layers.${i}`, source),
    );
    this.norm = new RMSNorm(source.parameter("model.norm.weight", [hiddenSize]), rmsNormEps);
  }

  forward(inputIds: Tensor, shared: Shared, noise: number, places: Tensor | undefined): Tensor {
    const wide = shared.dtype === "float64" ? "float64" : "float32";
    let x = scope("embed_tokens", () => embeddingNoise(this.embedTokens.forward(inputIds, wide), noise));
    // Taking rows out costs a little itself, so that it must leave out a good part.
    const early = places !== undefined && places.numel <= 0.75 * inputIds.numel;
    const last = this.layers.length - 1;
    this.layers.forEach((layer, i) => {
      x = scope(`layers.${i}`, () => layer.forward(x, i, shared, early && i === last ? places : undefined));
    });
    return scope("norm", () => this.norm.forward(early ? x : rowsAt(x, places)));
  }
}

/** Llama with a language model head. */
export class LlamaForCausalLM extends CausalLM {
  readonly modelType = "llama";
  readonly model: LlamaModel;
  readonly lmHead: Linear | undefined;
  readonly dtype: DType;
  readonly #config: LlamaConfig;

  constructor(config: LlamaConfig, source: ParameterSource) {
    super();
    this.#config = config;
    this.dtype = source.dtype;
    this.model = new LlamaModel(config, source);
    this.lmHead = config.tieWordEmbeddings
      ? undefined
      : new Linear(source.parameter("lm_head.weight", [config.vocabSize, config.hiddenSize]));
  }

  get config(): LlamaConfig {
    return this.#config;
  }

  get configJson(): JsonObject {
    return llamaConfigToJson(this.#config);
  }

  get shape(): ModelShape {
    const c = this.#config;
    return {
      layers: c.numHiddenLayers,
      hiddenSize: c.hiddenSize,
      kvHeads: c.numKeyValueHeads,
      headSize: c.headDim,
      vocabSize: c.vocabSize,
      maxLength: c.maxPositionEmbeddings,
    };
  }

  get eosTokenIds(): readonly number[] {
    return this.#config.eosTokenIds;
  }

  get headIsTied(): boolean {
    return this.lmHead === undefined;
  }

  protected storedHead(): Parameter {
    return this.lmHead?.weight ?? this.model.embedTokens.weight;
  }

  hiddenStates(inputIds: Tensor, options: ForwardOptions = {}): Tensor {
    const { rope, headDim, maxPositionEmbeddings } = this.#config;
    const length = inputIds.shape[1]!;
    if (options.documents !== undefined && rope.type === "dynamic" && length > maxPositionEmbeddings)
      throw packedBeyond(length, maxPositionEmbeddings);
    const frequencies = inverseFrequencies(rope, headDim, length, maxPositionEmbeddings);
    const positions = options.positions ?? arange(0, length);
    const rotary = rotaryTables(positions, constant(new HostTensor(frequencies, [headDim / 2], "float32")));
    const { attentionMask, documents } = options;
    let bias = options.bias ?? causalBias(length, length);
    if (documents !== undefined) bias = add(bias, documentBias(documents));
    if (attentionMask !== undefined) bias = add(bias, maximum(paddingBias(attentionMask), hiddenScore));
    const shared = { rotary, bias, cache: options.cache, dtype: this.dtype };
    return this.model.forward(inputIds, shared, this.neftuneNoiseAlpha, options.at);
  }
}

const packedBeyond = (length: number, trained: number): CraftError =>
  new CraftError({
    subject: "rope_scaling",
    value: "dynamic",
    reason: `turns by the length of the text, which is not that of a row of ${length} tokens that holds several texts, and above the ${trained} positions of the model`,
    remedy: "Lower max_length, or leave out packing and padding_free.",
  });
