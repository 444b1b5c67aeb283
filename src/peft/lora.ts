import { CraftError } from "../errors.js";
import { pretrainedFolder, type HubOptions } from "../hub/index.js";
import type { CausalLM } from "../models/causal_lm.js";
import { Conv1D } from "../nn/index.js";
import { Structure, type Parameter } from "../tensor/index.js";
import type { AdapterConfig } from "./adapter_config.js";
import { readAdapter, writeAdapter } from "./adapter_files.js";
import { AdapterWeights, setAdapter, type Update } from "./adapter_weights.js";
import { FileValues } from "./file_values.js";
import { loraConfig, type LoraOptions } from "./lora_config.js";
import { MergedWeights, mergeUpdate, settle, type Merged } from "./merging.js";
import { NamedAdapters } from "./named_adapters.js";
import { newValues } from "./new_values.js";
import { requireOneReading, resolveTargets, targetLayers } from "./targets.js";
import { combine, type Combination } from "./weighted.js";

export { defaultLoraConfig, type LoraConfig } from "./lora_config.js";

const known = new WeakMap<CausalLM, LoraModel>();

/**
 * A model whose own weights are frozen and whose adapters learn. It can have several adapters, of which one at most is
 * active: it takes part in what the model computes, and is trained.
 *
 * Functions that were compiled before follow a change of the active adapter; tensors that were traced do not.
 */
export class LoraModel {
  readonly model: CausalLM;
  readonly #adapters = new NamedAdapters();
  readonly #structure = new Structure();
  /** The head of its own that the model had before. */
  readonly #head: Parameter | undefined;
  #active: string | undefined;
  #disabled = 0;
  #merged: MergedWeights | undefined;

  private constructor(model: CausalLM) {
    this.model = model;
    this.#head = model.untiedHead;
    model.setTrainable(false);
    known.set(model, this);
    model.disposeWith(this);
  }

  /** The adapters of a model, if it has any. */
  static of(model: CausalLM): LoraModel | undefined {
    return known.get(model);
  }

  /**
   * Freezes the model and attaches a new adapter. With the default initial values nothing changes at first: A is
   * uniform in +-1/sqrt(in), and B zero.
   *
   * @param seed of the initial values
   * @throws CraftError for options out of range and names that the model does not have, and if it has adapters already.
   */
  static create(model: CausalLM, options: LoraOptions = {}, seed = 0, name = "default"): LoraModel {
    return LoraModel.#first(model, name, (lora) => lora.addAdapter(name, options, seed));
  }

  /**
   * Freezes the model and attaches the adapter of a folder, as PEFT or {@link save} wrote it, in float32.
   *
   * @throws CraftError if the folder holds no adapter that can be read, or one of another base model.
   */
  static load(model: CausalLM, folder: string, name = "default"): LoraModel {
    return LoraModel.#first(model, name, (lora) => lora.loadAdapter(folder, name));
  }

  /** {@link load} of a folder, or of a repository of the hub. */
  static async fromPretrained(
    model: CausalLM,
    pathOrId: string,
    options: HubOptions & { readonly adapterName?: string } = {},
  ): Promise<LoraModel> {
    const { adapterName, ...hub } = options;
    return LoraModel.load(model, await pretrainedFolder(pathOrId, "adapter", hub), adapterName);
  }

  static #first(model: CausalLM, name: string, add: (lora: LoraModel) => void): LoraModel {
    if (known.has(model))
      throw new CraftError({
        subject: "model",
        value: model.nameOrPath ?? model.modelType,
        reason: "has an adapter already",
        remedy: "Add another one with addAdapter or loadAdapter, or detach it first.",
      });
    const trainable = model.parameters().filter((parameter) => parameter.trainable);
    const lora = new LoraModel(model);
    try {
      add(lora);
    } catch (error) {
      lora.detach();
      for (const parameter of trainable) parameter.trainable = true;
      throw error;
    }
    lora.setAdapter(name);
    return lora;
  }

  get adapterNames(): string[] {
    return this.#adapters.names;
  }

  get activeAdapter(): string | undefined {
    return this.#active;
  }

  /** The config of the active adapter. */
  get config(): AdapterConfig {
    return this.#current.config;
  }

  /** What the active adapter adds to the layers, by their paths. */
  get updates(): ReadonlyMap<string, Update> {
    return this.#current.updates;
  }

  /** The active adapter's parameters by PEFT's names, e.g. `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  *namedParameters(): Generator<readonly [string, Parameter]> {
    yield* this.#current.namedParameters();
  }

  /** {@link namedParameters}, and what is saved with them without being trained. */
  *savedParameters(): Generator<readonly [string, Parameter]> {
    yield* this.#current.savedParameters();
  }

  parameters(): Parameter[] {
    return this.#current.parameters;
  }

  /**
   * Adds a new adapter, which is not active.
   *
   * @param seed of the initial values
   */
  addAdapter(name: string, options: LoraOptions = {}, seed = 0): void {
    this.#add(name, () => {
      const { model } = this;
      const given = loraConfig(options);
      const targetModules = resolveTargets(model, given);
      const targets = targetLayers(model, { ...given, targetModules });
      const config: AdapterConfig = {
        ...given,
        targetModules,
        baseModelNameOrPath: model.nameOrPath,
        revision: undefined,
        // As PEFT has it where weights are stored as [in, out].
        json: targets.some(([, layer]) => layer instanceof Conv1D) ? { fan_in_fan_out: true } : {},
      };
      for (const [path] of targets) requireOneReading(path, config);
      return AdapterWeights.make(model, config, targets, newValues(config, seed));
    });
  }

  /** Adds the adapter of a folder, which is not active. */
  loadAdapter(folder: string, name: string): void {
    const { device } = this.model.headWeight().value;
    const { config, tensors } = readAdapter(folder, { dtype: "float32", device });
    const values = new FileValues(folder, config, tensors);
    try {
      this.#add(name, () => {
        const weights = AdapterWeights.make(this.model, config, values.targets(this.model), values);
        try {
          values.requireAllTaken();
          return weights;
        } catch (error) {
          weights.dispose();
          throw error;
        }
      });
    } finally {
      values.dispose();
    }
  }

  /**
   * Adds an adapter whose update is a weighted sum of others', as PEFT's `add_weighted_adapter`; it is not active.
   *
   * @param combination `cat` is exact, with the sum of the ranks; `svd` is the best of one rank; `linear` adds factors
   */
  addWeightedAdapter(
    adapters: readonly string[],
    weights: readonly number[],
    name: string,
    combination: Combination = { type: "svd" },
  ): void {
    const parts = adapters.map((adapter, i) => ({
      name: adapter,
      adapter: this.#adapters.get(adapter),
      weight: weights[i] ?? NaN,
    }));
    if (weights.length !== parts.length || !weights.every(Number.isFinite))
      throw new CraftError({
        subject: "weights",
        value: weights,
        reason: "must be one finite number for each adapter",
      });
    this.#add(name, () => combine(this.model, parts, combination));
  }

  /** Adds a copy of an adapter as it is now, in float32; it is not active, and not trained. */
  copyAdapter(from: string, name: string): void {
    const adapter = this.#adapters.get(from);
    this.#add(name, () => adapter.copy(from));
  }

  /** Traces `body` with another adapter in the place of the active one, which stays the one that is trained. */
  using<T>(name: string, body: () => T): T {
    this.#adapters.get(name);
    this.#requireApart("using");
    const active = this.#active;
    this.#put(name);
    try {
      return body();
    } finally {
      this.#put(active);
    }
  }

  /** Makes another adapter the active one, and the one that is trained. */
  setAdapter(name: string): void {
    const next = this.#adapters.get(name);
    this.#requireApart("setAdapter");
    if (this.#active !== undefined) this.#current.setTrainable(false);
    next.setTrainable(true);
    this.#put(name);
  }

  /** Has one adapter, or none, in the model. */
  #put(name: string | undefined): void {
    this.#leave();
    this.#active = name;
    this.#enter();
  }

  /** Takes an adapter away and frees it. Where it is the active one, no other takes its place. */
  deleteAdapter(name: string): void {
    const adapter = this.#adapters.get(name);
    this.#requireApart("deleteAdapter");
    if (this.#active === name) {
      this.#leave();
      this.#active = undefined;
      this.#note();
    }
    this.#adapters.delete(name);
    adapter.dispose();
  }

  /**
   * Runs `body` with the model as it is without adapters: what is traced in it, and what programs that are called in it
   * compute. Biases and modules that an adapter trains whole are the original ones too. Where `body` is asynchronous,
   * the adapter is back when its promise settles.
   */
  disabled<T>(body: () => T): T {
    this.#requireApart("disabled");
    if (this.#disabled++ === 0) this.#leave();
    const end = (): void => {
      if (--this.#disabled === 0) this.#enter();
    };
    let result: T;
    try {
      result = body();
    } catch (error) {
      end();
      throw error;
    }
    if (result instanceof Promise) return result.finally(end) as T;
    end();
    return result;
  }

  /**
   * Puts the active adapter's updates into the weights, which makes the model as quick as it is without. The original
   * weights are kept beside, so that {@link unmergeAdapter} gives them back exactly.
   *
   * @throws CraftError if a weight would not be finite; nothing has changed then.
   */
  async mergeAdapter(): Promise<void> {
    const { updates } = this.#current;
    this.#requireApart("mergeAdapter");
    const merged: Merged[] = [];
    try {
      for (const [path, update] of updates) merged.push(await mergeUpdate(path, update));
    } catch (error) {
      for (const one of merged) one.merged.dispose();
      throw error;
    }
    this.#merged = new MergedWeights(this.model, merged);
    for (const update of updates.values()) setAdapter(update, false);
    this.#note();
  }

  /** Gives the original weights back, and attaches the updates again. */
  unmergeAdapter(): void {
    const merged = this.#merged;
    if (merged === undefined)
      throw new CraftError({ subject: "unmergeAdapter", reason: "no adapter is merged into the weights" });
    this.#merged = undefined;
    merged.takeOut();
    for (const update of this.updates.values()) setAdapter(update, true);
    this.#note();
  }

  /**
   * Puts the active adapter into the model for good and frees all adapters. This object is of no use afterwards. Where
   * a tied table had an update, or was trained, the model has a head of its own from then on.
   *
   * @throws CraftError if a weight would not be finite; nothing has changed then.
   */
  async mergeAndUnload(): Promise<CausalLM> {
    const current = this.#current;
    this.#requireApart("mergeAndUnload");
    for (const [path, update] of current.updates) (await mergeUpdate(path, update)).merged.dispose();
    for (const [path, update] of current.updates) {
      const merged = await mergeUpdate(path, update);
      setAdapter(update, false);
      settle(this.model, merged);
    }
    current.settle();
    this.#adapters.delete(this.#active!);
    this.#active = undefined;
    this.detach();
    return this.model;
  }

  /** Takes all adapters off the model and frees them. This object is of no use afterwards. */
  detach(): void {
    if (this.#merged !== undefined) this.unmergeAdapter();
    this.model.disposeWith(this, false);
    this.dispose();
  }

  /** Frees the adapters, as the model does when it is freed. */
  dispose(): void {
    // So that what adapters replaced is in the model again, and freed with it.
    if (this.#disabled === 0) this.#leave();
    known.delete(this.model);
    this.#structure.note(undefined);
    this.#merged?.dispose();
    this.#merged = undefined;
    this.#active = undefined;
    this.#adapters.dispose();
  }

  /**
   * Writes an adapter, the active one by default, into a folder that PEFT can load.
   *
   * @throws CraftError if the folder cannot be written to.
   */
  save(folder: string, name?: string): void {
    const adapter = name === undefined ? this.#current : this.#adapters.get(name);
    const tensors = [...adapter.savedParameters()].map(([key, { value }]) => [key, value] as const);
    writeAdapter(folder, { config: adapter.config, tensors: new Map(tensors) });
  }

  get #current(): AdapterWeights {
    if (this.#active !== undefined) return this.#adapters.get(this.#active);
    throw new CraftError({
      subject: "LoraModel",
      reason: this.#adapters.size === 0 ? "has no adapter any more" : "has no active adapter",
      remedy:
        this.#adapters.size === 0 ? "Make a new one." : `Activate one: ${this.adapterNames.join(", ")}.`,
    });
  }

  /** Adds what is made while the model is as it is without adapters. */
  #add(name: string, make: () => AdapterWeights): void {
    this.#requireApart("adding an adapter");
    this.#adapters.requireNew(name);
    this.#leave();
    try {
      const weights = make();
      weights.setTrainable(false);
      this.#adapters.set(name, weights);
    } finally {
      this.#enter();
    }
  }

  #requireApart(what: string): void {
    if (this.#merged === undefined && (this.#disabled === 0 || what === "disabled")) return;
    const merged = this.#merged !== undefined;
    throw new CraftError({
      subject: what,
      reason: merged ? "the adapter is merged into the weights" : "the adapter is disabled",
      remedy: merged ? "Call unmergeAdapter() first." : "Wait until disabled() has returned.",
    });
  }

  #enter(): void {
    if (this.#active !== undefined) this.#current.attach();
    this.#note();
  }

  #leave(): void {
    if (this.#active === undefined) return;
    this.#current.detach(this.#head);
    this.#note();
  }

  /** Tells compiled functions what they see. */
  #note(): void {
    const off = this.#disabled > 0 || this.#active === undefined;
    this.#structure.note(off ? "" : `${this.#active} ${this.#merged === undefined ? "" : "merged"}`);
  }
}
