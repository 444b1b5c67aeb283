import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { Embedding, Linear } from "../nn/index.js";
import { Parameter } from "../tensor/index.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { AdapterConfig } from "./adapter_config.js";
import { FileValues } from "./file_values.js";
import { LoraEmbedding, type EmbeddingFactors } from "./lora_embedding.js";
import { LoraLinear, type LoraFactors } from "./lora_linear.js";
import { masterCopy } from "./new_values.js";
import { isTiedHead, ownParameters, type Original } from "./own_parameters.js";
import { isNamed } from "./patterns.js";
import { rankOf, type Target } from "./targets.js";
import { prefix } from "./tensor_names.js";

/** Where an adapter gets its tensors. Those that it gives belong to the adapter. */
export interface AdapterValues {
  linear(path: string, layer: Linear): LoraFactors;
  embedding(path: string, table: Embedding): EmbeddingFactors;
  /** What stands in for a parameter of the model, float32. */
  own(original: Original): Parameter;
  /** What a table itself is to be while the adapter is active, where that differs; of the table's dtype. */
  table(path: string, table: Embedding): Parameter | undefined;
}

/** A layer and what is added to it. */
export type Update =
  | { readonly layer: Linear; readonly lora: LoraLinear }
  | { readonly layer: Embedding; readonly lora: LoraEmbedding };

/** A parameter that stands in for one of the model. */
interface Own extends Original {
  readonly own: Parameter;
  /** Whether it is trained and saved under its name. A head that is tied to one that is not follows it. */
  readonly trained: boolean;
}

/** One adapter's tensors, and how they get into the model and out of it. */
export class AdapterWeights {
  readonly config: AdapterConfig;
  /** By the layers' paths, in the order of the model. */
  readonly updates: ReadonlyMap<string, Update>;
  readonly #model: CausalLM;
  readonly #owned: readonly Own[];

  private constructor(
    model: CausalLM,
    config: AdapterConfig,
    updates: ReadonlyMap<string, Update>,
    owned: readonly Own[],
  ) {
    this.#model = model;
    this.config = config;
    this.updates = updates;
    this.#owned = owned;
  }

  /**
   * Takes the tensors of an adapter for some layers.
   *
   * @throws CraftError if they or the config do not fit the model. What was taken is freed then.
   */
  static make(
    model: CausalLM,
    config: AdapterConfig,
    targets: readonly Target[],
    values: AdapterValues,
  ): AdapterWeights {
    const updates = new Map<string, Update>();
    const owned: Own[] = [];
    const weights = new AdapterWeights(model, config, updates, owned);
    try {
      for (const [path, layer] of targets) {
        if (layer.adapter !== undefined)
          throw new CraftError({
            subject: path,
            reason: "has an adapter already",
            remedy: "Detach it first.",
          });
        const { scale } = rankOf(path, config);
        if (layer instanceof Linear) {
          const lora = new LoraLinear(values.linear(path, layer), scale, config.loraDropout);
          updates.set(path, { layer, lora });
          continue;
        }
        updates.set(path, { layer, lora: new LoraEmbedding(values.embedding(path, layer), scale) });
        const own = values.table(path, layer);
        const parameter = `${path}.weight`;
        if (own !== undefined)
          owned.push({ name: parameter, parameter, original: layer.weight, own, trained: false });
      }
      for (const original of ownParameters(model, config, new Set(updates.keys())))
        owned.push({ ...original, own: values.own(original), trained: true });
      return weights;
    } catch (error) {
      weights.dispose();
      throw error;
    }
  }

  /** What is trained, under PEFT's names. */
  *namedParameters(): Generator<readonly [string, Parameter]> {
    for (const [path, { lora }] of this.updates)
      for (const [name, parameter] of lora.trained()) yield [`${prefix}${path}.${name}`, parameter];
    for (const { name, own, trained } of this.#owned) if (trained) yield [prefix + name, own];
  }

  /** What PEFT saves: what is trained, and tables beside their updates. */
  *savedParameters(): Generator<readonly [string, Parameter]> {
    yield* this.namedParameters();
    const { targetModules = [] } = this.config;
    for (const [path, { layer }] of this.updates) {
      const named =
        typeof targetModules === "string"
          ? isNamed(path, targetModules, "lora_target_modules")
          : targetModules.includes("embed_tokens");
      if (!(layer instanceof Embedding && path.endsWith("embed_tokens") && named)) continue;
      const own = this.#owned.find(({ parameter, trained }) => !trained && parameter === `${path}.weight`);
      yield [`${prefix}${path}.base_layer.weight`, own?.own ?? layer.weight];
    }
  }

  /** The same in tensors of its own, in float32. To be made while the model is without adapters. */
  copy(name: string): AdapterWeights {
    const tensors = [...this.savedParameters()].map(([key, parameter]): [string, DeviceTensor] => [
      key,
      masterCopy(parameter).value,
    ]);
    const values = new FileValues(`adapter ${name}`, this.config, new Map(tensors));
    try {
      return AdapterWeights.make(this.#model, this.config, values.targets(this.#model), values);
    } finally {
      values.dispose();
    }
  }

  get parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter);
  }

  setTrainable(trainable: boolean): void {
    for (const parameter of this.parameters) parameter.trainable = trainable;
  }

  /** Puts the updates onto the layers, and the parameters into the model. */
  attach(): void {
    const model = this.#model;
    const before = model.headWeight();
    const head = this.#owned.find((own) => isTiedHead(model, own));
    for (const update of this.updates.values()) setAdapter(update, true);
    this.#swap(({ original, own }) => [original, own]);
    // As in PEFT, a head that was tied to a table does not follow it where the table is trained in a copy.
    const parts = this.#owned.some(({ original, trained }) => trained && original === before);
    if (head !== undefined) model.untieHead(head.own);
    else if (parts && model.headIsTied) model.untieHead(before);
  }

  /** Takes everything off again. @param head of its own that the model had before */
  detach(head: Parameter | undefined): void {
    for (const update of this.updates.values()) setAdapter(update, false);
    this.#swap(({ original, own }) => [own, original]);
    this.#model.untieHead(head);
  }

  /** Replaces parameters of the model. A tied head is none. */
  #swap(pair: (own: Own) => readonly [Parameter, Parameter]): void {
    const model = this.#model;
    const pairs = new Map(this.#owned.filter((own) => !isTiedHead(model, own)).map(pair));
    if (pairs.size > 0) model.replaceParameters((parameter) => pairs.get(parameter));
  }

  /** Leaves the parameters in the model for good, in the dtype of those that they replace, and frees the rest. */
  settle(): void {
    const model = this.#model;
    for (const one of this.#owned) {
      const { original, own } = one;
      const value = DeviceTensor.empty(own.shape, original.dtype, original.value.device);
      value.copyFrom(own.value);
      own.dispose();
      const settled = new Parameter(value, { trainable: false });
      if (isTiedHead(model, one)) model.untieHead(settled);
      // The original is the head's weight from now on.
      else if (model.headWeight() === original)
        model.replaceParameters((parameter) => (parameter === own ? settled : undefined));
      else {
        model.replaceParameters((parameter) => (parameter === own ? original : undefined));
        original.set(value);
      }
    }
    for (const { lora } of this.updates.values()) lora.dispose();
  }

  dispose(): void {
    for (const { lora } of this.updates.values()) lora.dispose();
    for (const { own } of this.#owned) own.dispose();
  }
}

/** Puts an update onto its layer, or takes it off. */
export function setAdapter({ layer, lora }: Update, on: boolean): void {
  if (layer instanceof Linear && lora instanceof LoraLinear) layer.adapter = on ? lora : undefined;
  if (layer instanceof Embedding && lora instanceof LoraEmbedding) layer.adapter = on ? lora : undefined;
}
