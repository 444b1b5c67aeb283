/** @file What training and generation with a model would need, each way. */
import { generationMemory, type GenerationMemory } from "../../generation/memory.js";
import type { CausalLM } from "../../models/index.js";
import type { LoraOptions } from "../../peft/index.js";
import { attachWithoutValues } from "../../peft/without_values.js";
import {
  processBytes,
  trainingMemory,
  weightBytes,
  type BatchShape,
  type TrainingMemory,
} from "../../trainers/memory.js";

export const methods = ["full", "lora", "qlora"] as const;
export type Method = (typeof methods)[number];

export interface TrainingFacts extends TrainingMemory {
  readonly method: Method;
  readonly gradientCheckpointing: boolean;
}

export interface GenerationFacts extends GenerationMemory {
  readonly weights: number;
  readonly total: number;
}

/** @param make a model without weights, anew each time, in 4 bits or not */
export function trainingFacts(
  make: (options: { readonly inFourBits: boolean }) => CausalLM,
  batch: BatchShape,
  lora: LoraOptions,
  ways: readonly Method[] = methods,
): readonly TrainingFacts[] {
  return ways.flatMap((method) =>
    [false, true].map((gradientCheckpointing) => {
      const model = make({ inFourBits: method === "qlora" });
      if (method !== "full") attachWithoutValues(model, lora);
      const shape = { ...batch, gradientCheckpointing };
      const memory = trainingMemory(model, shape);
      return { method, gradientCheckpointing, ...memory };
    }),
  );
}

export function generationFacts(model: CausalLM, { rows, length }: BatchShape): GenerationFacts {
  const memory = generationMemory(model, rows, length);
  const weights = weightBytes(model);
  const total = processBytes + weights + memory.packed + memory.cache + memory.activations;
  return { weights, ...memory, total };
}
