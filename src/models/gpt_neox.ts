/** @file GPT-NeoX (Black et al. 2022) and Pythia: attention and feed-forward part side by side, heads rotated in part. */
import { activate, Embedding, Module, type Activation, type LayerNorm, type Linear } from "../nn/index.js";
import { add, dropout, slice, type Parameter, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import { attend, rowsAt, splitHeads, type AttendOptions } from "./attend.js";
import { readDecoderConfig, readDropout, type DecoderConfig } from "./decoder_config.js";
import { DecoderLM, type DecoderBody } from "./decoder.js";
import type { LayerContext, LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import type { ParameterSource } from "./parameter_source.js";
import type { DecoderLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import type { Rotary } from "./rope.js";
import { partialRotarySize, readRope, type RopeParameters } from "./rope_config.js";

export interface GPTNeoXConfig extends DecoderConfig {
  readonly rope: RopeParameters;
  readonly rotarySize: number;
  readonly layerNormEps: number;
  /** Whether both projections of the attention have biases. */
  readonly attentionBias: boolean;
  /** Dropout of embeddings and of what attention and feed-forward part add, in training. */
  readonly hiddenDropout: number;
  /** Whether the feed-forward part reads what the attention reads, not what it leaves. */
  readonly useParallelResidual: boolean;
}

/** Reads a config.json with the defaults of transformers' GPTNeoXConfig. */
export function gptNeoXConfig(json: JsonObject, file: string): GPTNeoXConfig {
  const fields = new JsonFields(json, file);
  const config = readDecoderConfig(fields, "gpt_neox", {
    vocabSize: 50_432,
    hiddenSize: 6144,
    intermediateSize: 24_576,
    numHiddenLayers: 44,
    numAttentionHeads: 64,
    activation: ["hidden_act", "gelu"],
    maxPositionEmbeddings: 2048,
    rmsNormEps: 0,
    tieWordEmbeddings: false,
    eosTokenIds: [2],
  });
  // Every head has its own keys and values, as large as hidden_size divides.
  const { hiddenSize, numAttentionHeads, maxPositionEmbeddings } = config;
  fields.refuseUnless("num_key_value_heads", [numAttentionHeads], "shared keys and values are not supported");
  fields.refuseUnless(
    "head_dim",
    [hiddenSize / numAttentionHeads],
    "must be hidden_size / num_attention_heads",
  );
  const rotarySize = partialRotarySize(fields, config.headDim, "rotary_pct", 0.25);
  const theta = fields.number("rotary_emb_base", 10_000, { above: 0 });
  return {
    ...config,
    rope: readRope(fields, { maxPositionEmbeddings, rotarySize, theta, partial: true }),
    rotarySize,
    layerNormEps: fields.number("layer_norm_eps", 1e-5, { min: 0 }),
    attentionBias: fields.boolean("attention_bias", true),
    hiddenDropout: readDropout(fields, "hidden_dropout", 0),
    useParallelResidual: fields.boolean("use_parallel_residual", true),
  };
}

class GPTNeoXAttention extends Module {
  readonly queryKeyValue: Linear;
  readonly dense: Linear;
  readonly #headDim: number;
  readonly #options: AttendOptions;

  constructor(config: GPTNeoXConfig, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, attentionBias, headDim, attentionDropout } = config;
    this.queryKeyValue = source.linear(`${path}.query_key_value`, 3 * hiddenSize, hiddenSize, attentionBias);
    this.dense = source.linear(`${path}.dense`, hiddenSize, hiddenSize, attentionBias);
    this.#headDim = headDim;
    this.#options = { scale: 1 / Math.sqrt(headDim), dropout: attentionDropout };
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    // Head by head: its query, its key, its value.
    const size = this.#headDim;
    const heads = splitHeads(this.queryKeyValue.forward(x), 3 * size);
    const part = (i: number): Tensor => slice(heads, -1, i * size, (i + 1) * size);
    return this.dense.forward(attend(part(0), part(1), part(2), context, this.#options));
  }
}

class GPTNeoXMLP extends Module {
  readonly denseHTo4h: Linear;
  readonly dense4hToH: Linear;
  readonly #activation: Activation;

  constructor(config: GPTNeoXConfig, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, intermediateSize, hiddenAct } = config;
    this.denseHTo4h = source.linear(`${path}.dense_h_to_4h`, intermediateSize, hiddenSize, true);
    this.dense4hToH = source.linear(`${path}.dense_4h_to_h`, hiddenSize, intermediateSize, true);
    this.#activation = hiddenAct;
  }

  forward(x: Tensor): Tensor {
    return this.dense4hToH.forward(activate(this.denseHTo4h.forward(x), this.#activation));
  }
}

class GPTNeoXLayer extends Module implements DecoderLayer {
  readonly inputLayernorm: LayerNorm;
  readonly postAttentionLayernorm: LayerNorm;
  readonly attention: GPTNeoXAttention;
  readonly mlp: GPTNeoXMLP;
  readonly #config: GPTNeoXConfig;

  constructor(config: GPTNeoXConfig, path: string, source: ParameterSource) {
    super();
    const norm = (name: string): LayerNorm =>
      source.layerNorm(`${path}.${name}`, config.hiddenSize, config.layerNormEps);
    this.inputLayernorm = norm("input_layernorm");
    this.postAttentionLayernorm = norm("post_attention_layernorm");
    this.attention = new GPTNeoXAttention(config, `${path}.attention`, source);
    this.mlp = new GPTNeoXMLP(config, `${path}.mlp`, source);
    this.#config = config;
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    const { hiddenDropout, useParallelResidual } = this.#config;
    const branch = (y: Tensor): Tensor => dropout(y, hiddenDropout).to(x.dtype);
    const rows = rowsAt(x, context.places);
    const attended = this.attention.forward(this.inputLayernorm.forward(x, context.dtype), context);
    const middle = add(rows, branch(attended));
    const read = useParallelResidual ? rows : middle;
    return add(middle, branch(this.mlp.forward(this.postAttentionLayernorm.forward(read, context.dtype))));
  }
}

class GPTNeoXModel extends Module implements DecoderBody {
  readonly embedIn: Embedding;
  readonly layers: readonly GPTNeoXLayer[];
  readonly finalLayerNorm: LayerNorm;
  readonly #dropout: number;

  constructor(config: GPTNeoXConfig, source: ParameterSource) {
    super();
    const { vocabSize, hiddenSize, numHiddenLayers, layerNormEps } = config;
    this.embedIn = new Embedding(source.parameter("gpt_neox.embed_in.weight", [vocabSize, hiddenSize]));
    this.layers = Array.from(
      { length: numHiddenLayers },
      (_, i) => new GPTNeoXLayer(config, `gpt_neox.layers.${i}`, source),
    );
    this.finalLayerNorm = source.layerNorm("gpt_neox.final_layer_norm", hiddenSize, layerNormEps);
    this.#dropout = config.hiddenDropout;
  }

  embed(inputIds: Tensor, dtype: DType): Tensor {
    return this.embedIn.forward(inputIds, dtype);
  }

  enter(x: Tensor): Tensor {
    return dropout(x, this.#dropout);
  }

  finish(x: Tensor): Tensor {
    return this.finalLayerNorm.forward(x);
  }
}

/** GPT-NeoX with a language model head. */
export class GPTNeoXForCausalLM extends DecoderLM<GPTNeoXConfig> {
  readonly gptNeox: GPTNeoXModel;
  readonly lmHead: Linear | undefined;
  readonly #rotary: Rotary;

  constructor(config: GPTNeoXConfig, source: ParameterSource) {
    super(config, source);
    this.gptNeox = new GPTNeoXModel(config, source);
    this.lmHead = source.head(config);
    const { rope, rotarySize: size, maxPositionEmbeddings: maxPositions } = config;
    this.#rotary = { rope, size, maxPositions };
  }

  protected get body(): DecoderBody {
    return this.gptNeox;
  }

  protected view(): LayerView {
    return { rotary: this.#rotary };
  }

  get headIsTied(): boolean {
    return this.lmHead === undefined;
  }

  protected storedHead(): Parameter {
    return this.lmHead?.weight ?? this.gptNeox.embedIn.weight;
  }

  /** Under the name that checkpoints have for the head. */
  override savedName(path: string): string {
    return path.replace(/^lm_head\./, "embed_out.");
  }
}
