/** @file What decoders have in common: an embedding, a stack of layers, a norm, and a head. */
import type { Linear } from "../nn/index.js";
import { Embedding, embeddingNoise, Module, type RMSNorm } from "../nn/index.js";
import { mul, scope, type Parameter, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import { rowsAt } from "./attend.js";
import { CausalLM, type ForwardOptions, type ModelShape } from "./causal_lm.js";
import type { DecoderConfig, RotaryDecoderConfig } from "./decoder_config.js";
import { ForwardPass, type LayerView } from "./forward_pass.js";
import type { ParameterSource } from "./parameter_source.js";
import type { DecoderLayer } from "./pre_norm_layer.js";
import type { JsonObject } from "./python_json.js";
import { lengthDependence, type Rotary } from "./rope.js";

/** The body of a decoder. Tensors are float32, or float64 in a model of that dtype. */
export interface DecoderBody {
  readonly layers: readonly DecoderLayer[];
  /** Embeds ids [batch, length]: [batch, length, hidden]. */
  embed(inputIds: Tensor, dtype: DType): Tensor;
  /** What happens to embedded tokens before the first layer, where that is anything; positions [length] or [batch, length]. */
  enter?(x: Tensor, positions: Tensor): Tensor;
  /** The norm behind the last layer. */
  finish(x: Tensor): Tensor;
}

/** A causal language model whose hidden states come from a {@link DecoderBody}. */
export abstract class DecoderLM<Config extends DecoderConfig = DecoderConfig> extends CausalLM {
  readonly dtype: DType;
  readonly #config: Config;

  constructor(config: Config, source: ParameterSource) {
    super();
    this.#config = config;
    this.dtype = source.dtype;
  }

  protected abstract readonly body: DecoderBody;

  /** How a layer looks at the others. */
  protected abstract view(layer: number): LayerView;

  get config(): Config {
    return this.#config;
  }

  get modelType(): string {
    return this.#config.modelType;
  }

  get configJson(): JsonObject {
    return this.#config.json;
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

  get windows(): readonly (number | undefined)[] {
    return this.body.layers.map((_, i) => this.view(i).window);
  }

  override get cacheLimits(): readonly number[] {
    const limits = this.body.layers.flatMap((_, i) => {
      const { rotary } = this.view(i);
      return rotary === undefined ? [] : (lengthDependence(rotary)?.trained ?? []);
    });
    return [...new Set(limits)];
  }

  hiddenStates(inputIds: Tensor, options: ForwardOptions = {}): Tensor {
    const { body, dtype } = this;
    const { at } = options;
    const pass = new ForwardPass(inputIds, options, dtype);
    const wide = dtype === "float64" ? "float64" : "float32";
    // Taking rows out costs a little itself, so that it must leave out a good part.
    const early = at !== undefined && at.numel <= 0.75 * inputIds.numel;
    const last = body.layers.length - 1;
    const contexts = body.layers.map((_, i) =>
      pass.context(i, this.view(i), early && i === last ? at : undefined),
    );
    let x = scope("embed_tokens", () => {
      const embedded = embeddingNoise(body.embed(inputIds, wide), this.neftuneNoiseAlpha);
      return body.enter?.(embedded, pass.positions) ?? embedded;
    });
    body.layers.forEach((layer, i) => {
      x = scope(`layers.${i}`, () => layer.forward(x, contexts[i]!));
    });
    return scope("norm", () => body.finish(early ? x : rowsAt(x, at)));
  }
}

/** Token embeddings, layers and a root mean square norm, named as in Llama. */
export class DecoderModel extends Module implements DecoderBody {
  readonly embedTokens: Embedding;
  readonly layers: readonly DecoderLayer[];
  readonly norm: RMSNorm;
  readonly #embedScale: number;

  /**
   * @param path of the model in the checkpoint
   * @param layer makes the layer of a number under its path
   * @param options.embedScale factor of the embeddings
   * @param options.normOffset see {@link RMSNorm}
   */
  constructor(
    { vocabSize, hiddenSize, numHiddenLayers, rmsNormEps }: RotaryDecoderConfig,
    path: string,
    source: ParameterSource,
    layer: (index: number, path: string) => DecoderLayer,
    { embedScale = 1, normOffset = 0 }: { readonly embedScale?: number; readonly normOffset?: 0 | 1 } = {},
  ) {
    super();
    this.embedTokens = new Embedding(
      source.parameter(`${path}.embed_tokens.weight`, [vocabSize, hiddenSize]),
    );
    this.layers = Array.from({ length: numHiddenLayers }, (_, i) => layer(i, `${path}.layers.${i}`));
    this.norm = source.rmsNorm(`${path}.norm`, hiddenSize, rmsNormEps, normOffset);
    this.#embedScale = embedScale;
  }

  embed(inputIds: Tensor, dtype: DType): Tensor {
    const x = this.embedTokens.forward(inputIds, dtype);
    return this.#embedScale === 1 ? x : mul(x, this.#embedScale);
  }

  finish(x: Tensor): Tensor {
    return this.norm.forward(x);
  }
}

/** A decoder with rotary positions whose parts are named as in Llama: `model` and `lm_head`. */
export class RotaryDecoderLM<
  Config extends RotaryDecoderConfig = RotaryDecoderConfig,
> extends DecoderLM<Config> {
  readonly model: DecoderModel;
  readonly lmHead: Linear | undefined;
  readonly #rotary: Rotary;

  /** @param model makes the body; its weights come before the head's */
  constructor(config: Config, source: ParameterSource, model: () => DecoderModel) {
    super(config, source);
    this.model = model();
    this.lmHead = source.head(config);
    const { rope, headDim, maxPositionEmbeddings } = config;
    this.#rotary = { rope, size: config.rotarySize ?? headDim, maxPositions: maxPositionEmbeddings };
  }

  protected get body(): DecoderBody {
    return this.model;
  }

  /** The rotary embedding that config.json describes. */
  protected get rotary(): Rotary {
    return this.#rotary;
  }

  protected view(_layer: number): LayerView {
    return { rotary: this.#rotary };
  }

  get headIsTied(): boolean {
    return this.lmHead === undefined;
  }

  protected storedHead(): Parameter {
    return this.lmHead?.weight ?? this.model.embedTokens.weight;
  }
}
