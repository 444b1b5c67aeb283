import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import type { Linear } from "../nn/index.js";
import { readAdapter, type AdapterTensors, type LoraFactors } from "./adapter_files.js";
import { LoraModel } from "./lora.js";

/**
 * Attaches the adapter of a folder, as PEFT or {@link writeAdapter} wrote it, to its base model. The matrices are kept
 * in float32.
 *
 * @throws CraftError if the folder holds no adapter that can be read, or one of another base model.
 */
export function loadAdapter(model: CausalLM, folder: string): LoraModel {
  const { device } = model.headWeight().value;
  const { config, tensors } = readAdapter(folder, { dtype: "float32", device });
  try {
    requireFit(model, folder, tensors);
    const { r, loraAlpha, loraDropout } = config;
    const settings = { r, loraAlpha, loraDropout, targetModules: [...tensors.keys()] };
    return LoraModel.attach(model, settings, (path) => {
      const { loraA, loraB } = tensors.get(path)!;
      return { a: loraA, b: loraB };
    });
  } catch (error) {
    for (const { loraA, loraB } of tensors.values()) [loraA, loraB].forEach((tensor) => tensor.dispose());
    throw error;
  }
}

function requireFit(model: CausalLM, folder: string, tensors: AdapterTensors): void {
  const layers = new Map(model.linearLayers());
  for (const [path, factors] of tensors) {
    const layer = layers.get(path);
    if (layer === undefined) throw misfit(folder, path, "is no linear layer of the model");
    const fault = shapeFault(layer, factors);
    if (fault !== undefined) throw misfit(folder, path, fault);
    if (layer.adapter !== undefined)
      throw new CraftError({ subject: path, reason: "has an adapter already", remedy: "Detach it first." });
  }
}

/** What is wrong with A [r, in] and B [out, r] for a layer; that both have one r is known. */
function shapeFault(layer: Linear, { loraA, loraB }: LoraFactors): string | undefined {
  const [out, input] = [loraB.shape[0], loraA.shape[1]];
  if (out === layer.outFeatures && input === layer.inFeatures) return undefined;
  return `was adapted as a layer from ${input} to ${out} features, and the model's goes from ${layer.inFeatures} to ${layer.outFeatures}`;
}

const misfit = (folder: string, path: string, reason: string): CraftError =>
  new CraftError({
    subject: `adapter ${folder}`,
    value: path,
    reason,
    remedy:
      "Use the base model that the adapter was trained on (base_model_name_or_path in its adapter_config.json).",
  });
