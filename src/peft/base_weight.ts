import { Conv1D, type Embedding, type Linear } from "../nn/index.js";
import { Linear4bit, wholeWeight } from "../quantization/index.js";
import { cpu } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { asMatrix, tensorOf, transposed } from "./matrix.js";

/** A copy of the layer's own weight, [out, in] or a table, in float32 on the host's side. The caller owns it. */
export function floatWeight(layer: Linear | Embedding): DeviceTensor {
  if (layer instanceof Linear4bit && layer.bits !== undefined) {
    using whole = wholeWeight(layer.bits, "float32");
    return whole.to(cpu);
  }
  const { weight } = layer;
  const copy = DeviceTensor.empty(weight.shape, "float32");
  copy.copyFrom(weight.value);
  if (!(layer instanceof Conv1D)) return copy;
  using stored = copy;
  return tensorOf(transposed(asMatrix(stored)));
}
