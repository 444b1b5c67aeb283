import { Parameter } from "../tensor/index.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { AdapterValues } from "./adapter_weights.js";
import { initialEmbeddingFactors, initialFactors } from "./initial.js";
import type { LoraConfig } from "./lora_config.js";

/** A float32 copy of a parameter. */
export function masterCopy({ shape, value }: Parameter): Parameter {
  const copy = DeviceTensor.empty(shape, "float32", value.device);
  copy.copyFrom(value);
  return new Parameter(copy);
}

/** Initial values of a new adapter; parameters that are trained whole begin as they are in the model. */
export const newValues = (config: LoraConfig, seed: number): AdapterValues => ({
  linear: (path, layer) => initialFactors(path, layer, config, seed),
  embedding: (path, table) => initialEmbeddingFactors(path, table, config, seed),
  own: ({ original }) => masterCopy(original),
  table: () => undefined,
});
