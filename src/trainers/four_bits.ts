/** @file What a run does about weights in 4 bits. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { fourBitLayers } from "../quantization/index.js";

/**
 * Weights in 4 bits have no gradients, and what stands between them is no model to be trained by itself.
 *
 * @throws CraftError if the model has any.
 */
export function refuseFourBits(model: CausalLM): void {
  const [layer] = fourBitLayers(model);
  if (layer === undefined) return;
  throw new CraftError({
    subject: "model",
    value: model.nameOrPath ?? model.modelType,
    reason: `cannot be trained whole: ${layer[0]} and others are in 4 bits`,
    remedy:
      "Train adapters (peftConfig, in run files use_peft: true), or load the model without quantisation.",
  });
}

/** How the first layer in 4 bits is stored, e.g. `nf4, double`. */
export function describeFourBits(model: CausalLM): string | null {
  const [layer] = fourBitLayers(model);
  if (layer === undefined) return null;
  const [, , { type, nested }] = layer;
  return nested === undefined ? type : `${type}, double`;
}
