import type { Module } from "../nn/module.js";
import { Parameter } from "../tensor/parameter.js";
import { DeviceTensor } from "../torch/device_tensor.js";

/**
 * Puts float32 copies in the place of trainable parameters in half precision, one at a time. The model goes on
 * computing in its own dtype; the copies take up steps that half precision would round away.
 */
export function toMasterWeights(model: Module): void {
  model.replaceParameters((parameter) => {
    if (!parameter.trainable || parameter.dtype === "float32" || parameter.dtype === "float64")
      return undefined;
    const wide = DeviceTensor.empty(parameter.shape, "float32", parameter.value.device);
    wide.copyFrom(parameter.value);
    parameter.dispose();
    return new Parameter(wide);
  });
}
