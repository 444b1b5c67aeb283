import { Linear } from "../nn/linear.js";
import type { GenerationConfig } from "./generation_config.js";
import type { JsonObject } from "./python_json.js";
import { Module } from "../nn/module.js";
import { packsWeights } from "../nn/packed_weights.js";
import { softcap } from "../nn/softcap.js";
import type { DType } from "../torch/dtype.js";
import { linear, packedLinear, type Parameter, type Tensor } from "../tensor/index.js";

/** What a forward pass of a model reads and writes besides the tokens. */
export interface ForwardOptions {
  /** 1 at real tokens, 0 at padding: [batch, length]. Needed for left padding only: causality hides padding on the right. */
  readonly attentionMask?: Tensor | undefined;
  /** Position of each token, int64 [length] or [batch, length]; 0, 1, 2 … by default. */
  readonly positions?: Tensor | undefined;
  /**
   * The number of the document that each token belongs to, integers [batch, length]: tokens see those of their own
   * document only. Where rows hold several documents, give positions that begin anew with each.
   */
  readonly documents?: Tensor | undefined;
  /**
   * Which branch of its text each token belongs to, integers [batch, length]: 0 for the beginning that the branches share.
   * Tokens see that beginning and their own branch only. Give positions that go on from it in each branch; windows of
   * layers are then measured by positions.
   */
  readonly branches?: Tensor | undefined;
  /** Keys and values of earlier tokens, for generation. */
  readonly cache?: LayerCaches | undefined;
  /**
   * Places in the batch, batch * length positions in a row, whose hidden states are wanted, int64 [n]; all by default.
   * The last layer then computes little else.
   */
  readonly at?: Tensor | undefined;
}

/** Where a model keeps keys and values while it generates. */
export interface LayerCaches {
  /** Takes the new keys and values [batch, kvHeads, length, size] of a layer and returns all it should attend to. */
  update(layer: number, keys: Tensor, values: Tensor): { readonly keys: Tensor; readonly values: Tensor };
  /** Added to the scores of these keys in place of the causal bias, broadcastable to [batch, 1, length, keys]. */
  bias(layer: number): Tensor;
}

/** The sizes that generation and cost estimates need to know of any model. */
export interface ModelShape {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly vocabSize: number;
  /** Longest sequence that the positions were trained for. */
  readonly maxLength: number;
}

/**
 * A causal language model: tokens in, final hidden states out, and a head that turns those into logits. The head is
 * apart, so that losses can run it only where they need it.
 */
export abstract class CausalLM extends Module {
  /** The value of `model_type` in config.json. */
  abstract readonly modelType: string;
  abstract readonly shape: ModelShape;
  /** In which dtype products are computed. */
  abstract readonly dtype: DType;
  /** config.json: what came with the checkpoint, with what has changed since. */
  abstract readonly configJson: JsonObject;
  /** Tokens that end a text, by config.json. */
  abstract readonly eosTokenIds: readonly number[];
  /** The folder that the model was loaded from. */
  nameOrPath: string | undefined;
  generationConfig: GenerationConfig | undefined;
  /** How many tokens each layer sees, the one that looks included; undefined for all of the text. */
  abstract readonly windows: readonly (number | undefined)[];
  /**
   * Numbers of tokens of which a text with one more has other keys and values in all its places, so that those of a cache
   * must be computed again.
   */
  get cacheLimits(): readonly number[] {
    return [];
  }

  /** A sentence about what the checkpoint has and this model does without. */
  leftOut: string | undefined;
  /** Alpha of the noise on token embeddings in training; see embeddingNoise. A trainer sets it while it trains. */
  neftuneNoiseAlpha = 0;
  #untied: Parameter | undefined;
  readonly #alongside = new Set<{ dispose(): void }>();

  /**
   * Final, normalised hidden states in float32 for ids int64 [batch, length]: [batch, length, hidden], or [n, hidden]
   * where places are given.
   */
  abstract hiddenStates(inputIds: Tensor, options?: ForwardOptions): Tensor;

  /** Weight of the head [vocabulary, hidden] in the checkpoint; the embedding table where both are tied. */
  protected abstract storedHead(): Parameter;

  /** Whether the head's weight in the checkpoint is the embedding table. */
  abstract readonly headIsTied: boolean;

  /** Weight of the head [vocabulary, hidden]; the embedding table where both are tied. */
  headWeight(): Parameter {
    return this.#untied ?? this.storedHead();
  }

  /** The head of its own that {@link untieHead} gave the model. */
  get untiedHead(): Parameter | undefined {
    return this.#untied;
  }

  /** Gives a model whose head is tied a head of its own [vocabulary, hidden], or ties it again. */
  untieHead(weight: Parameter | undefined): void {
    this.#untied = weight;
  }

  /** The name in a saved checkpoint of the parameter at a path. */
  savedName(path: string): string {
    return path;
  }

  /** Frees something together with the model, until it is told otherwise. */
  disposeWith(resource: { dispose(): void }, together = true): void {
    if (together) this.#alongside.add(resource);
    else this.#alongside.delete(resource);
  }

  override dispose(): void {
    for (const resource of this.#alongside) resource.dispose();
    super.dispose();
    this.#untied?.dispose();
  }

  /** All linear layers with their paths, for adapters. The head is not among them. */
  *linearLayers(): Generator<readonly [string, Linear]> {
    for (const [path, module] of this.namedModules()) {
      if (module instanceof Linear && module.weight !== this.headWeight()) yield [path, module];
    }
  }

  /** Logits z are softcap * tanh(z / softcap) where this is given; a loss over {@link headWeight} has to do the same. */
  get logitSoftcap(): number | undefined {
    return undefined;
  }

  /** Logits [..., vocabulary] in the model's dtype. */
  logits(hidden: Tensor): Tensor {
    const weight = this.headWeight().to(this.dtype);
    const z = (packsWeights() ? packedLinear : linear)(hidden.to(this.dtype), weight);
    const { logitSoftcap } = this;
    return logitSoftcap === undefined ? z : softcap(z.to("float32"), logitSoftcap).to(this.dtype);
  }

  /** Logits for ids [batch, length]: [batch, length, vocabulary]. */
  forward(inputIds: Tensor, options?: ForwardOptions): Tensor {
    return this.logits(this.hiddenStates(inputIds, options));
  }
}
