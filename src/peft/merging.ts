/** @file Adapters as a part of the weights. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { Linear, type Module } from "../nn/index.js";
import { Linear4bit } from "../quantization/index.js";
import { compile, Parameter } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import type { Update } from "./adapter_weights.js";

/** A weight with an update in it, and the one that it takes the place of. */
export interface Merged {
  readonly layer: Update["layer"];
  readonly original: Parameter;
  readonly merged: Parameter;
}

/**
 * A layer's weight with the update in it, computed in float32 and stored in the weight's dtype; of a weight in 4 bits, in the
 * model's.
 *
 * @throws CraftError if it is not finite.
 */
export async function mergeUpdate(path: string, { layer, lora }: Update): Promise<Merged> {
  const original = layer.weight;
  const dtype = layer instanceof Linear ? layer.weightDType : original.dtype;
  const program = compile(
    () => {
      const linear = layer instanceof Linear ? layer : undefined;
      const merged = lora.merged(linear?.baseWeight("float32") ?? layer.weight.to("float32"));
      const value = (linear?.storedWeight(merged) ?? merged).to(dtype);
      return { value, largest: value.to("float32").abs().amax() };
    },
    { device: original.value.device },
  );
  let result: { readonly value: DeviceTensor; readonly largest: DeviceTensor };
  try {
    result = await program();
  } finally {
    program.dispose();
  }
  using largest = result.largest;
  if (Number.isFinite(largest.item()))
    return { layer, original, merged: new Parameter(result.value, { trainable: false }) };
  result.value.dispose();
  throw new CraftError({
    subject: path,
    reason: `is not finite in ${dtype} once the adapter is merged into it`,
    remedy: "Check the adapter, or load the model in float32.",
  });
}

/** Weights with updates in them, in the model in place of its own. */
export class MergedWeights {
  readonly #model: CausalLM;
  readonly #all: readonly Merged[];
  readonly #head: Parameter | undefined;

  constructor(model: CausalLM, all: readonly Merged[]) {
    this.#model = model;
    this.#all = all;
    this.#head = model.untiedHead;
    const before = model.headWeight();
    for (const { layer, original, merged } of all) replace(layer, original, merged);
    // The update of a table is not one of the head that is tied to it.
    if (model.headWeight() !== before) model.untieHead(before);
  }

  takeOut(): void {
    for (const { layer, original, merged } of this.#all) replace(layer, merged, original);
    this.#model.untieHead(this.#head);
    for (const { merged } of this.#all) merged.dispose();
  }

  /** Frees the weights that are not in the model. */
  dispose(): void {
    for (const { original } of this.#all) original.dispose();
  }
}

const replace = (layer: Module, from: Parameter, to: Parameter): void =>
  layer.replaceParameters((parameter) => (parameter === from ? to : undefined));

/** Leaves a merged weight in the model for good, as the value of the parameter that was there. */
export function settle(model: CausalLM, { layer, original, merged }: Merged): void {
  // A head that is tied to the table keeps the weight without the update.
  if (model.headWeight() === original) {
    replace(layer, original, merged);
    model.untieHead(original);
  } else if (layer instanceof Linear4bit && layer.bits !== undefined) {
    replace(layer, original, merged);
    layer.settle();
  } else original.set(merged.value);
}
