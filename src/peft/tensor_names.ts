/** @file The names of an adapter's tensors, and whether they and their shapes belong together. */
import { CraftError } from "../errors.js";
import { adapterConfigFile, type AdapterConfig } from "./adapter_config.js";
import { rankOf } from "./targets.js";

/** PEFT puts this before the path of a module. */
export const prefix = "base_model.model.";

/** What a tensor is to the module whose path its name begins with. */
export type Kind =
  | "lora_A"
  | "lora_B"
  | "lora_embedding_A"
  | "lora_embedding_B"
  | "lora_magnitude_vector"
  /** The table itself, which PEFT saves beside its update. */
  | "base_layer"
  /** A parameter that is trained itself, by its name in the model. */
  | "own";

export interface TensorName {
  readonly kind: Kind;
  /** Path of the module, or name of the parameter. */
  readonly of: string;
}

const factor = /^(.+)\.(?:(lora_[AB])\.weight|(lora_embedding_[AB]|lora_magnitude_vector))$/;

/** What a name without the prefix stands for under a config; undefined where such an adapter has no such tensor. */
export function readName(name: string, config: AdapterConfig): TensorName | undefined {
  const found = factor.exec(name);
  if (found !== null) {
    const kind = (found[2] ?? found[3]) as Kind;
    return kind === "lora_magnitude_vector" && !config.useDora ? undefined : { kind, of: found[1]! };
  }
  if (name.endsWith(".base_layer.weight"))
    return { kind: "base_layer", of: name.slice(0, -".base_layer.weight".length) };
  if (name.endsWith(".bias") && config.bias !== "none")
    return { kind: "own", of: name.replace(/\.base_layer\.bias$/, ".bias") };
  const parts = name.split(".");
  const modules = parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("."));
  const saved = modules.some((path) => config.modulesToSave?.some((end) => path.endsWith(end)));
  return saved ? { kind: "own", of: name } : undefined;
}

/**
 * @param names in a file, with the prefix
 * @throws CraftError naming one that an adapter of this config does not have.
 */
export function readNames(
  subject: string,
  names: Iterable<string>,
  config: AdapterConfig,
): Map<string, TensorName> {
  const read = new Map<string, TensorName>();
  for (const name of names) {
    const found = name.startsWith(prefix) ? readName(name.slice(prefix.length), config) : undefined;
    if (found === undefined)
      throw new CraftError({
        subject,
        value: name,
        reason: `is no tensor that an adapter has by its ${adapterConfigFile}`,
        remedy: `There may be ${prefix}MODULE.lora_A.weight and lora_B.weight, lora_embedding_A and lora_embedding_B, with use_dora lora_magnitude_vector, parameters of modules_to_save, and biases where bias says so`,
      });
    read.set(name, found);
  }
  return read;
}

const pairs: readonly (readonly [Kind, Kind])[] = [
  ["lora_A", "lora_B"],
  ["lora_embedding_A", "lora_embedding_B"],
];

/**
 * @throws CraftError where one of two factors is missing, or magnitudes are, or where factors have another rank than
 * the config gives their module.
 */
export function requireWhole(
  subject: string,
  tensors: Iterable<readonly [TensorName, readonly number[]]>,
  config: AdapterConfig,
): void {
  const modules = new Map<string, Map<Kind, readonly number[]>>();
  for (const [{ kind, of }, shape] of tensors) {
    const shapes = modules.get(of) ?? new Map<Kind, readonly number[]>();
    modules.set(of, shapes.set(kind, shape));
  }
  for (const [module, shapes] of modules) {
    for (const [down, up] of pairs) {
      const [a, b] = [shapes.get(down), shapes.get(up)];
      if (a === undefined && b === undefined) continue;
      if (a === undefined || b === undefined) throw missing(subject, module, a === undefined ? down : up);
      if (config.useDora && !shapes.has("lora_magnitude_vector"))
        throw missing(subject, module, "lora_magnitude_vector");
      const { r } = rankOf(module, config);
      if (a.length === 2 && b.length === 2 && a[0] === r && b[1] === r) continue;
      throw new CraftError({
        subject: `${subject}, tensors of ${module}`,
        value: `${down} [${a.join(", ")}], ${up} [${b.join(", ")}]`,
        reason: `do not have the shapes [r, in] and [out, r] with r = ${r}, as ${adapterConfigFile} says`,
        remedy: "Check that config and weights are of one adapter",
      });
    }
  }
}

const missing = (subject: string, module: string, kind: Kind): CraftError =>
  new CraftError({
    subject,
    value: `${prefix}${module}.${kind}`,
    reason: "is missing, and other tensors of the module's update are there",
    remedy: "Download or save the adapter again",
  });
