import { layerNorm, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";

/** (x - mean) / sqrt(var + eps) * weight + bias over the last dimension (Ba et al. 2016), computed in float32. */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #eps: number;

  constructor(weight: Parameter, bias: Parameter, eps: number) {
    super();
    this.weight = weight;
    this.bias = bias;
    this.#eps = eps;
  }

  /** @param x [..., size]; the result is converted to `dtype`. */
  forward(x: Tensor, dtype: DType = x.dtype): Tensor {
    const wide = x.dtype === "float64" ? x : x.to("float32");
    const [weight, bias] = [this.weight.to(wide.dtype), this.bias.to(wide.dtype)];
    return layerNorm(wide, weight, bias, this.#eps).to(dtype);
  }
}
