/** @file What of a model is written into a checkpoint, layers in 4 bits included. */
import { fourBitLayers, Linear4bit } from "../quantization/index.js";
import { Parameter } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { isFloating, type DType } from "../torch/dtype.js";
import type { CausalLM } from "./causal_lm.js";
import type { JsonObject } from "./python_json.js";
import { storedParts } from "./quant_state.js";
import { quantizationJson } from "./quantization_config.js";
import type { NamedTensor } from "./safetensors/write.js";

/** The tensors of a model by their names in a checkpoint, without adapters. Those that are made for it are added to `made`. */
export function* savedTensors(model: CausalLM, made: DeviceTensor[]): Generator<NamedTensor> {
  const own = new Map<Parameter, readonly NamedTensor[]>();
  const scales = new Set<Parameter>();
  for (const [path, layer] of model.namedModules()) {
    if (!(layer instanceof Linear4bit)) continue;
    const { bits } = layer;
    for (const [name, child] of layer.children())
      if (child instanceof Parameter && name.startsWith("weight.")) scales.add(child);
    if (bits !== undefined)
      own.set(bits.packed, [...storedParts(model.savedName(`${path}.weight`), bits, made)]);
  }
  for (const [name, parameter] of model.namedParameters()) {
    if (name.includes(".adapter.") || scales.has(parameter)) continue;
    yield* own.get(parameter) ?? [[model.savedName(name), parameter.value]];
  }
  const { untiedHead } = model;
  if (untiedHead !== undefined) yield [model.savedName("lm_head.weight"), untiedHead.value];
}

/** The dtype that config.json names: that of what is not in 4 bits. */
export const savedDType = (model: CausalLM): DType =>
  model.parameters().find(({ dtype }) => isFloating(dtype))?.dtype ?? model.dtype;

/** config.json with what it has to say about layers in 4 bits. @param head the path of the head, which never is */
export function withQuantization(json: JsonObject, model: CausalLM, head: string): JsonObject {
  const { quantization_config: before, ...rest } = json;
  const layers = [...fourBitLayers(model)];
  const first = layers[0];
  if (first === undefined) return rest;
  const inBits = new Set(layers.map(([path]) => path));
  const whole = [...model.linearLayers()].flatMap(([path]) => (inBits.has(path) ? [] : [path]));
  const [, layer, { type, nested }] = first;
  const facts = { type, double: nested !== undefined, compute: layer.compute ?? model.dtype };
  const skipped = whole.length === 0 ? [] : [...whole, head].map((path) => model.savedName(path));
  return { ...rest, quantization_config: quantizationJson(before, facts, skipped) };
}
