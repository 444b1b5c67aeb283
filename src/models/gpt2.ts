/** @file GPT-2 (Radford et al. 2019): learned positions, layer norms, and weights stored as [in, out]. */
import { CraftError } from "../errors.js";
import {
  activate,
  Embedding,
  Module,
  splitOutputs,
  type Activation,
  type Conv1D,
  type LayerNorm,
  type Linear,
} from "../nn/index.js";
import { add, dropout, type Parameter, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import { attend, rowsAt, splitHeads, type AttendOptions } from "./attend.js";
import type { ForwardOptions } from "./causal_lm.js";
import {
  readActivation,
  readDropout,
  readEosTokenIds,
  refuseUnsupported,
  type DecoderConfig,
} from "./decoder_config.js";
import { DecoderLM, type DecoderBody } from "./decoder.js";
import type { LayerContext, LayerView } from "./forward_pass.js";
import { JsonFields } from "./json_fields.js";
import type { ParameterSource } from "./parameter_source.js";
import type { DecoderLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";

export interface GPT2Config extends DecoderConfig {
  readonly layerNormEpsilon: number;
  /** Dropout of embeddings and of what attention and feed-forward part add, in training. */
  readonly embdPdrop: number;
  readonly residPdrop: number;
  /** Whether scores are divided by the root of the head size. */
  readonly scaleAttnWeights: boolean;
  /** Whether scores of layer i, from 0, are divided by i + 1. */
  readonly scaleAttnByInverseLayerIdx: boolean;
}

/** Reads a config.json with the defaults of transformers' GPT2Config. */
export function gpt2Config(json: JsonObject, file: string): GPT2Config {
  const fields = new JsonFields(json, file);
  refuseUnsupported(fields);
  fields.refuseUnless("add_cross_attention", [false], "attention to an encoder is not supported");
  fields.refuseUnless(
    "reorder_and_upcast_attn",
    [false],
    "attention in float32 whatever the dtype is not supported",
  );
  const size = { min: 1 };
  const hiddenSize = fields.integer("n_embd", 768, size);
  const heads = fields.integer("n_head", 12, size);
  if (hiddenSize % heads !== 0)
    throw fields.error("n_embd", `is not a multiple of n_head, which is ${heads}`);
  return {
    modelType: "gpt2",
    vocabSize: fields.integer("vocab_size", 50_257, size),
    hiddenSize,
    intermediateSize: fields.integer("n_inner", 4 * hiddenSize, size),
    numHiddenLayers: fields.integer("n_layer", 12, size),
    numAttentionHeads: heads,
    numKeyValueHeads: heads,
    headDim: hiddenSize / heads,
    hiddenAct: readActivation(fields, "activation_function", "gelu_new"),
    maxPositionEmbeddings: fields.integer("n_positions", 1024, size),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", true),
    attentionDropout: readDropout(fields, "attn_pdrop", 0.1),
    eosTokenIds: readEosTokenIds(fields, [50_256]),
    json,
    layerNormEpsilon: fields.number("layer_norm_epsilon", 1e-5, { min: 0 }),
    embdPdrop: readDropout(fields, "embd_pdrop", 0.1),
    residPdrop: readDropout(fields, "resid_pdrop", 0.1),
    scaleAttnWeights: fields.boolean("scale_attn_weights", true),
    scaleAttnByInverseLayerIdx: fields.boolean("scale_attn_by_inverse_layer_idx", false),
  };
}

class GPT2Attention extends Module {
  readonly cAttn: Conv1D;
  readonly cProj: Conv1D;
  readonly #headDim: number;
  readonly #options: AttendOptions;

  constructor(config: GPT2Config, layer: number, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, headDim, scaleAttnWeights, scaleAttnByInverseLayerIdx } = config;
    this.cAttn = source.conv1d(`${path}.c_attn`, 3 * hiddenSize, hiddenSize);
    this.cProj = source.conv1d(`${path}.c_proj`, hiddenSize, hiddenSize);
    this.#headDim = headDim;
    const scale = scaleAttnWeights ? 1 / Math.sqrt(headDim) : 1;
    this.#options = {
      scale: scaleAttnByInverseLayerIdx ? scale / (layer + 1) : scale,
      dropout: config.attentionDropout,
    };
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    const size = this.cAttn.inFeatures;
    const parts = splitOutputs(this.cAttn.forward(x), [size, size, size]);
    const [q, k, v] = parts.map((y) => splitHeads(y, this.#headDim));
    return this.cProj.forward(attend(q!, k!, v!, context, this.#options));
  }
}

class GPT2MLP extends Module {
  readonly cFc: Conv1D;
  readonly cProj: Conv1D;
  readonly #activation: Activation;

  constructor(
    { hiddenSize, intermediateSize, hiddenAct }: GPT2Config,
    path: string,
    source: ParameterSource,
  ) {
    super();
    this.cFc = source.conv1d(`${path}.c_fc`, intermediateSize, hiddenSize);
    this.cProj = source.conv1d(`${path}.c_proj`, hiddenSize, intermediateSize);
    this.#activation = hiddenAct;
  }

  forward(x: Tensor): Tensor {
    return this.cProj.forward(activate(this.cFc.forward(x), this.#activation));
  }
}

class GPT2Block extends Module implements DecoderLayer {
  readonly ln1: LayerNorm;
  readonly attn: GPT2Attention;
  readonly ln2: LayerNorm;
  readonly mlp: GPT2MLP;
  readonly #residPdrop: number;

  constructor(config: GPT2Config, layer: number, path: string, source: ParameterSource) {
    super();
    const { hiddenSize, layerNormEpsilon } = config;
    this.ln1 = source.layerNorm(`${path}.ln_1`, hiddenSize, layerNormEpsilon);
    this.attn = new GPT2Attention(config, layer, `${path}.attn`, source);
    this.ln2 = source.layerNorm(`${path}.ln_2`, hiddenSize, layerNormEpsilon);
    this.mlp = new GPT2MLP(config, `${path}.mlp`, source);
    this.#residPdrop = config.residPdrop;
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    const attended = dropout(
      this.attn.forward(this.ln1.forward(x, context.dtype), context),
      this.#residPdrop,
    );
    const middle = add(rowsAt(x, context.places), attended.to(x.dtype));
    const fed = dropout(this.mlp.forward(this.ln2.forward(middle, context.dtype)), this.#residPdrop);
    return add(middle, fed.to(x.dtype));
  }
}

class GPT2Model extends Module implements DecoderBody {
  readonly wte: Embedding;
  readonly wpe: Embedding;
  readonly h: readonly GPT2Block[];
  readonly lnF: LayerNorm;
  readonly #embdPdrop: number;

  constructor(config: GPT2Config, source: ParameterSource) {
    super();
    const { vocabSize, maxPositionEmbeddings, hiddenSize, numHiddenLayers, layerNormEpsilon } = config;
    this.wte = new Embedding(source.parameter("transformer.wte.weight", [vocabSize, hiddenSize]));
    this.wpe = new Embedding(source.parameter("transformer.wpe.weight", [maxPositionEmbeddings, hiddenSize]));
    this.h = Array.from(
      { length: numHiddenLayers },
      (_, i) => new GPT2Block(config, i, `transformer.h.${i}`, source),
    );
    this.lnF = source.layerNorm("transformer.ln_f", hiddenSize, layerNormEpsilon);
    this.#embdPdrop = config.embdPdrop;
  }

  get layers(): readonly DecoderLayer[] {
    return this.h;
  }

  embed(inputIds: Tensor, dtype: DType): Tensor {
    return this.wte.forward(inputIds, dtype);
  }

  enter(x: Tensor, positions: Tensor): Tensor {
    return dropout(add(x, this.wpe.forward(positions, x.dtype)), this.#embdPdrop);
  }

  finish(x: Tensor): Tensor {
    return this.lnF.forward(x);
  }
}

/** GPT-2 with a language model head. */
export class GPT2LMHeadModel extends DecoderLM<GPT2Config> {
  readonly transformer: GPT2Model;
  readonly lmHead: Linear | undefined;

  constructor(config: GPT2Config, source: ParameterSource) {
    super(config, source);
    this.transformer = new GPT2Model(config, source);
    this.lmHead = source.head(config);
  }

  protected get body(): DecoderBody {
    return this.transformer;
  }

  protected view(): LayerView {
    return {};
  }

  get headIsTied(): boolean {
    return this.lmHead === undefined;
  }

  protected storedHead(): Parameter {
    return this.lmHead?.weight ?? this.transformer.wte.weight;
  }

  /** @throws CraftError for rows that are longer than there are positions, unless positions are given. */
  override hiddenStates(inputIds: Tensor, options: ForwardOptions = {}): Tensor {
    const length = inputIds.shape[1]!;
    const { maxPositionEmbeddings } = this.config;
    if (options.positions === undefined && length > maxPositionEmbeddings)
      throw new CraftError({
        subject: "inputIds",
        value: `${length} tokens`,
        reason: `is a row longer than the ${maxPositionEmbeddings} positions that the model has learned`,
        remedy: `Cut rows to ${maxPositionEmbeddings} tokens: max_length`,
      });
    return super.hiddenStates(inputIds, options);
  }
}
