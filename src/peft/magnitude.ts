/** @file DoRA's magnitudes: the Euclidean norms of what a weight has for each output (Liu et al. 2024). */
import type { Embedding, Linear } from "../nn/index.js";
import { div, Parameter, sqrt, square, stopGradient, sum, type Tensor } from "../tensor/index.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { floatWeight } from "./base_weight.js";
import { asMatrix, type Matrix } from "./matrix.js";

/** m / n for each output: n are the norms of a weight along `dim`, a constant in the eyes of differentiation. */
export const magnitudeFactor = (magnitude: Parameter, weight: Tensor, dim: number): Tensor =>
  div(magnitude, stopGradient(sqrt(sum(square(weight), [dim]))));

/** Magnitudes with which m / n is 1: the norms of the layer's weight, plus `scale * update` if there is one. */
export function initialMagnitudes(
  layer: Linear | Embedding,
  of: "rows" | "columns",
  update?: { readonly matrix: Matrix; readonly scale: number },
): Parameter {
  using weight = floatWeight(layer);
  const { rows, columns, data } = asMatrix(weight);
  const squares = new Float64Array(of === "rows" ? rows : columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = i * columns + j;
      const value = data[at]! + (update === undefined ? 0 : update.scale * update.matrix.data[at]!);
      squares[of === "rows" ? i : j]! += value * value;
    }
  }
  const { device } = layer.weight.value;
  return new Parameter(DeviceTensor.fromHost(squares.map(Math.sqrt), [squares.length], "float32", device));
}
