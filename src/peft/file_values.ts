import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import type { Embedding, Linear } from "../nn/index.js";
import { Parameter } from "../tensor/index.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { AdapterConfig } from "./adapter_config.js";
import type { AdapterTensors } from "./adapter_files.js";
import type { AdapterValues } from "./adapter_weights.js";
import { startFactors } from "./initial.js";
import type { EmbeddingFactors } from "./lora_embedding.js";
import type { LoraFactors } from "./lora_linear.js";
import type { Original } from "./own_parameters.js";
import { adaptable, isChosen, type Target } from "./targets.js";
import { prefix, readNames, type Kind } from "./tensor_names.js";

/** The tensors of an adapter folder as values for a model. Those that nothing took are freed with it. */
export class FileValues implements AdapterValues {
  readonly #folder: string;
  readonly #config: AdapterConfig;
  readonly #tensors: Map<string, DeviceTensor>;

  /** Takes ownership of the tensors. */
  constructor(folder: string, config: AdapterConfig, tensors: AdapterTensors) {
    this.#folder = folder;
    this.#config = config;
    this.#tensors = new Map(tensors);
  }

  /**
   * The layers that the tensors are for.
   *
   * @throws CraftError where they are not those that the config chooses in this model.
   */
  targets(model: CausalLM): Target[] {
    const layers = new Map(adaptable(model));
    const modules = new Set<string>();
    for (const { kind, of } of readNames(this.#folder, this.#tensors.keys(), this.#config).values())
      if (kind !== "own") modules.add(of);
    for (const module of modules) {
      if (!layers.has(module))
        throw this.#misfit(module, "is no linear layer or embedding table of the model");
      if (this.#chooses(module) === false)
        throw this.#misfit(module, "is in the file of weights, and adapter_config.json does not choose it");
    }
    const targets = [...layers].filter(([path]) => modules.has(path) || this.#chooses(path) === true);
    const without = targets.find(([path]) => !modules.has(path));
    if (without !== undefined)
      throw this.#misfit(
        without[0],
        "is chosen by adapter_config.json, and the file of weights has nothing for it",
      );
    return targets;
  }

  /** Undefined where the config has a regular expression that is not understood. */
  #chooses(path: string): boolean | undefined {
    try {
      return isChosen(path, this.#config);
    } catch (error) {
      if (error instanceof CraftError) return undefined;
      throw error;
    }
  }

  linear(path: string, layer: Linear): LoraFactors {
    const { inFeatures, outFeatures } = layer;
    const [a, b] = this.#pair(path, "lora_A", "lora_B");
    if (a.shape[1] !== inFeatures || b.shape[0] !== outFeatures)
      throw this.#misfit(
        path,
        `was adapted as a layer from ${a.shape[1]} to ${b.shape[0]} features, and the model's goes from ${inFeatures} to ${outFeatures}`,
      );
    this.#requireMagnitude(path, outFeatures);
    const start = startFactors(path, layer, this.#config, 0);
    return {
      a: this.#take(path, "lora_A")!,
      b: this.#take(path, "lora_B")!,
      magnitude: this.#take(path, "lora_magnitude_vector"),
      start,
    };
  }

  embedding(path: string, table: Embedding): EmbeddingFactors {
    const [vocabulary, size] = table.weight.shape as readonly [number, number];
    const [a, b] = this.#pair(path, "lora_embedding_A", "lora_embedding_B");
    if (a.shape[1] !== vocabulary || b.shape[0] !== size)
      throw this.#misfit(
        path,
        `was adapted as a table of ${a.shape[1]} rows of ${b.shape[0]}, and the model's has ${vocabulary} of ${size}`,
      );
    this.#requireMagnitude(path, size);
    return {
      a: this.#take(path, "lora_embedding_A")!,
      b: this.#take(path, "lora_embedding_B")!,
      magnitude: this.#take(path, "lora_magnitude_vector"),
    };
  }

  own({ name, original }: Original): Parameter {
    const found = this.#tensors.get(prefix + name);
    if (found === undefined)
      throw this.#misfit(
        name,
        "is trained whole by adapter_config.json, and the file of weights does not have it",
      );
    this.#requireShape(name, found.shape, original.shape);
    this.#tensors.delete(prefix + name);
    return new Parameter(found);
  }

  /** The table that was saved beside its update, unless it is the model's, to the last bit. */
  table(path: string, { weight }: Embedding): Parameter | undefined {
    const saved = this.#tensors.get(`${prefix}${path}.base_layer.weight`);
    if (saved === undefined) return undefined;
    this.#requireShape(`${path}.base_layer.weight`, saved.shape, weight.shape);
    const same = DeviceTensor.empty(weight.shape, weight.dtype, weight.value.device);
    same.copyFrom(saved);
    if (!bytesOf(same).equals(bytesOf(weight.value))) return new Parameter(same, { trainable: false });
    same.dispose();
    return undefined;
  }

  /** @throws CraftError if the model had no place for a tensor. */
  requireAllTaken(): void {
    const left = [...this.#tensors.keys()].find((name) => !name.endsWith(".base_layer.weight"));
    if (left !== undefined) throw this.#misfit(left, "has no place in the model");
  }

  dispose(): void {
    for (const tensor of this.#tensors.values()) tensor.dispose();
    this.#tensors.clear();
  }

  /** Both factors, left where they are: they are only taken when all is checked. */
  #pair(path: string, down: Kind, up: Kind): readonly [DeviceTensor, DeviceTensor] {
    const a = this.#tensors.get(nameOf(path, down));
    const b = this.#tensors.get(nameOf(path, up));
    if (a === undefined || b === undefined)
      throw this.#misfit(path, "was adapted as a layer of another kind");
    return [a, b];
  }

  #requireMagnitude(path: string, size: number): void {
    const name = nameOf(path, "lora_magnitude_vector");
    const found = this.#tensors.get(name);
    if (found !== undefined) this.#requireShape(name.slice(prefix.length), found.shape, [size]);
  }

  #take(path: string, kind: Kind): Parameter | undefined {
    const name = nameOf(path, kind);
    const found = this.#tensors.get(name);
    this.#tensors.delete(name);
    return found && new Parameter(found);
  }

  #requireShape(name: string, found: readonly number[], wanted: readonly number[]): void {
    if (found.join() !== wanted.join())
      throw this.#misfit(
        name,
        `has the shape [${found.join(", ")}], and the model's has [${wanted.join(", ")}]`,
      );
  }

  #misfit(value: string, reason: string): CraftError {
    const { baseModelNameOrPath: base } = this.#config;
    return new CraftError({
      subject: `adapter ${this.#folder}`,
      value,
      reason,
      remedy: `Use the base model that the adapter was trained on${base === undefined ? "" : `, ${base}`}.`,
    });
  }
}

const nameOf = (path: string, kind: Kind): string =>
  `${prefix}${path}.${kind}${kind === "lora_A" || kind === "lora_B" ? ".weight" : ""}`;

function bytesOf(tensor: DeviceTensor): Buffer {
  const { buffer, byteOffset, byteLength } = tensor.toTypedArray();
  return Buffer.from(buffer, byteOffset, byteLength);
}
