/** @file Initial values, drawn on the host from a seeded generator. */
import type { Random } from "../random.js";
import { cpu, type Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";
import { numel, type Shape } from "../tensor/tensor.js";

function draw(shape: Shape, dtype: DType, device: Device, next: () => number): DeviceTensor {
  const data = new Float32Array(numel(shape));
  for (let i = 0; i < data.length; i++) data[i] = next();
  return DeviceTensor.fromHost(data, shape, dtype, device);
}

/** Normal numbers with mean 0. */
export const normalInit = (
  random: Random,
  shape: Shape,
  std: number,
  dtype: DType = "float32",
  device: Device = cpu,
): DeviceTensor => draw(shape, dtype, device, () => random.normal() * std);

/** Uniform numbers in [-bound, bound). */
export const uniformInit = (
  random: Random,
  shape: Shape,
  bound: number,
  dtype: DType = "float32",
  device: Device = cpu,
): DeviceTensor => draw(shape, dtype, device, () => (2 * random.uniform() - 1) * bound);

/** Uniform in +-sqrt(6 / (in + out)) for a weight [out, in] (Glorot & Bengio 2010). */
export const xavierUniform = (
  random: Random,
  [out, input]: readonly [number, number],
  dtype?: DType,
  device?: Device,
): DeviceTensor => uniformInit(random, [out, input], Math.sqrt(6 / (input + out)), dtype, device);

/**
 * Uniform in +-1 / sqrt(in) for a weight [out, in]: He et al. 2015 with the slope sqrt(5), which PyTorch takes for
 * linear layers and PEFT for the A matrix of LoRA.
 */
export const kaimingUniform = (
  random: Random,
  [out, input]: readonly [number, number],
  dtype?: DType,
  device?: Device,
): DeviceTensor => uniformInit(random, [out, input], 1 / Math.sqrt(input), dtype, device);
