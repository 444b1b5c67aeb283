/** @file Which modules of a model an adapter belongs to, by PEFT's rules. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { Embedding, Linear } from "../nn/index.js";
import type { LoraConfig } from "./lora_config.js";
import { blockOf, byPattern, isInSaved, isNamed } from "./patterns.js";

/** A layer that can have an adapter, with its path. */
export type Target = readonly [path: string, layer: Linear | Embedding];

const attention = ["q_proj", "v_proj"];

/** What PEFT adapts by default, by the model's type. */
const defaultTargets: Readonly<Record<string, readonly string[]>> = {
  gemma: attention,
  gemma2: attention,
  gemma3_text: attention,
  gpt2: ["c_attn"],
  gpt_neox: ["query_key_value"],
  llama: attention,
  mistral: attention,
  phi: ["q_proj", "v_proj", "fc1", "fc2"],
  qwen2: attention,
  qwen3: attention,
};

/** Whether PEFT knows what to adapt in models of a type where nothing is said. */
export const hasDefaultTargets = (modelType: string): boolean => defaultTargets[modelType] !== undefined;

/** Names as short as they can be, from this many on: PEFT's MIN_TARGET_MODULES_FOR_OPTIMIZATION. */
const shortenFrom = 20;

/** All layers that can have an adapter. */
export function adaptable(model: CausalLM): Target[] {
  return [...model.namedModules()].flatMap(([path, module]): Target[] =>
    (module instanceof Linear || module instanceof Embedding) && !isHead(model, module)
      ? [[path, module]]
      : [],
  );
}

const isHead = (model: CausalLM, module: Linear | Embedding): boolean =>
  module instanceof Linear && module.weight === model.headWeight();

/**
 * `targetModules` as a list or regular expression: PEFT's default for the model's type, and `all-linear` as the layers
 * it stands for.
 */
export function resolveTargets(model: CausalLM, config: LoraConfig): readonly string[] | string {
  const { targetModules } = config;
  if (targetModules === undefined) {
    const known = defaultTargets[model.modelType];
    if (known !== undefined) return known;
    throw new CraftError({
      subject: "lora_target_modules",
      reason: `is not given, and PEFT has no default for models of type ${model.modelType}`,
      remedy: `Name some of ${endings(model).join(", ")}, or "all-linear".`,
    });
  }
  if (typeof targetModules !== "string" || targetModules.toLowerCase() !== "all-linear") return targetModules;
  const linear = [...model.linearLayers()].map(([path]) => path);
  const others = [...model.namedModules()].map(([path]) => path).filter((path) => !linear.includes(path));
  return linear.length < shortenFrom ? linear.sort() : shortest(linear, [...others, "lm_head"]);
}

/** The fewest endings that name some modules and no others, as PEFT chooses them. */
function shortest(paths: readonly string[], others: readonly string[]): string[] {
  const suffixes = (path: string): string[] => {
    const parts = path.split(".");
    return parts.map((_, i) => parts.slice(parts.length - 1 - i).join("."));
  };
  const taken = new Set(others.flatMap(suffixes));
  const chosen = new Set<string>();
  const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  const fromTheEnd = (path: string): string => path.split(".").reverse().join("\0");
  for (const path of [...paths].sort((a, b) => compare(fromTheEnd(a), fromTheEnd(b)))) {
    if ([...chosen].some((suffix) => path === suffix || path.endsWith(`.${suffix}`))) continue;
    const suffix = suffixes(path).find((one) => !taken.has(one));
    if (suffix !== undefined) chosen.add(suffix);
  }
  return [...chosen].sort(compare);
}

/**
 * The layers that a config adapts, in the order of the model.
 *
 * @throws CraftError if a name or the expression matches no layer that can have an adapter.
 */
export function targetLayers(model: CausalLM, config: LoraConfig): Target[] {
  const { targetModules = [] } = config;
  const layers = adaptable(model);
  const names = typeof targetModules === "string" ? [undefined] : targetModules;
  for (const name of names) {
    const wanted = name === undefined ? targetModules : [name];
    if (!layers.some(([path]) => isNamed(path, wanted, "lora_target_modules")))
      throw noSuchLayer(model, name ?? String(targetModules));
  }
  const chosen = layers.filter(([path]) => isChosen(path, config));
  if (chosen.length > 0) return chosen;
  throw new CraftError({
    subject: "lora_target_modules",
    value: targetModules,
    reason: "leaves no layer, after exclude_modules, layers_to_transform and lora_modules_to_save",
    remedy: "Exclude less.",
  });
}

/** Whether a config adapts a layer. */
export function isChosen(path: string, config: LoraConfig): boolean {
  const { targetModules = [], excludeModules, modulesToSave, layersToTransform, layersPattern } = config;
  if (excludeModules !== undefined && isNamed(path, excludeModules, "exclude_modules")) return false;
  if (modulesToSave !== undefined && isInSaved(path, modulesToSave)) return false;
  if (!isNamed(path, targetModules, "lora_target_modules")) return false;
  const blocks = typeof layersToTransform === "number" ? [layersToTransform] : (layersToTransform ?? []);
  // A path that is named in full is adapted whatever its block is.
  if (blocks.length === 0 || targetModules.includes(path)) return true;
  const block = blockOf(path, layersPattern);
  return block !== undefined && blocks.includes(block);
}

function noSuchLayer(model: CausalLM, name: string): CraftError {
  const head = name === "lm_head" || name.endsWith(".lm_head");
  return new CraftError({
    subject: "lora_target_modules",
    value: name,
    reason: head
      ? "is the head, to which no adapter can be attached"
      : "matches no linear layer or embedding table of the model",
    remedy: head
      ? "Train it whole: name it in lora_modules_to_save."
      : `Layers end in ${endings(model, name).join(", ")}.`,
  });
}

/** Last parts of the paths of layers that can have an adapter, the most alike first. */
function endings(model: CausalLM, like = ""): string[] {
  const ends = [...new Set(adaptable(model).map(([path]) => path.split(".").at(-1)!))];
  return ends.sort((a, b) => distance(a, like) - distance(b, like));
}

/** Letters to be added, left out or replaced to make one word of the other (Levenshtein). */
function distance(a: string, b: string): number {
  if (b === "") return 0;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** Rank and scale of one layer's update. */
export interface Rank {
  readonly r: number;
  readonly scale: number;
}

/** The rank and the scale that a config gives a layer. */
export function rankOf(path: string, config: LoraConfig): Rank {
  const r = byPattern(config.rankPattern, path, "rank_pattern") ?? config.r;
  const alpha = byPattern(config.alphaPattern, path, "alpha_pattern") ?? config.loraAlpha;
  return { r, scale: alpha / (config.useRslora ? Math.sqrt(r) : r) };
}

/**
 * @throws CraftError where the first of several patterns that match a layer would be another one once they are sorted,
 * as PEFT sorts them when it writes them.
 */
export function requireOneReading(path: string, config: LoraConfig): void {
  const sorted = (patterns: Readonly<Record<string, number>>): Record<string, number> =>
    Object.fromEntries(Object.entries(patterns).sort(([a], [b]) => (a < b ? -1 : 1)));
  for (const [option, patterns] of [
    ["rank_pattern", config.rankPattern],
    ["alpha_pattern", config.alphaPattern],
  ] as const) {
    const [first, saved] = [patterns, sorted(patterns)].map((all) => byPattern(all, path, option));
    if (first === saved) continue;
    throw new CraftError({
      subject: option,
      value: patterns,
      reason: `has several patterns for ${path}: ${first} comes first here, and ${saved} in a file, where they are sorted`,
      remedy: "Write them so that one matches each layer.",
    });
  }
}
