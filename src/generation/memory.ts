/** @file What memory generation needs, planned from the shapes of a model. */
import type { CausalLM } from "../models/causal_lm.js";
import { placeholder, programMemory } from "../tensor/index.js";
import { dtypeBytes } from "../torch/dtype.js";
import { slotsOf } from "./cache.js";
import { passesOf } from "./passes.js";

/** Bytes beside the model's own weights. */
export interface GenerationMemory {
  /** Weights packed for products with few rows, which live as long as a generator. */
  readonly packed: number;
  /** Keys and values of all tokens. */
  readonly cache: number;
  /** Intermediate values of the pass over the prompts, which needs most. */
  readonly activations: number;
}

/**
 * @param rows texts at a time
 * @param length tokens of each, all of them a prompt's
 */
export function generationMemory(model: CausalLM, rows: number, length: number): GenerationMemory {
  const packs = model.dtype === "float32" || model.dtype === "bfloat16";
  const inputIds = placeholder({ shape: [rows, length], dtype: "int64" }, "inputIds");
  const starts = placeholder({ shape: [rows], dtype: "int64" }, "starts");
  const { logits, cache } = passesOf(model, packs).prompt(inputIds, starts, length);
  const outputs = [logits, ...cache.keys, ...cache.values];
  const { peak, kept } = programMemory([inputIds, starts], outputs);
  const { kvHeads, headSize } = model.shape;
  const slots = model.windows.reduce<number>((sum, window) => sum + slotsOf(window, length), 0);
  const cached = 2 * slots * rows * kvHeads * headSize * dtypeBytes(model.dtype);
  return { packed: kept, cache: cached, activations: peak - cached };
}
