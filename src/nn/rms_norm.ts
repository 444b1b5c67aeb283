import { rmsNorm, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";

/** x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang & Sennrich 2019), computed in float32. */
export class RMSNorm extends Module {
  readonly weight: Parameter;
  readonly #eps: number;

  constructor(weight: Parameter, eps: number) {
    super();
    this.weight = weight;
    this.#eps = eps;
  }

  /** @param x [..., size]; the result is converted to `dtype`. */
  forward(x: Tensor, dtype: DType = x.dtype): Tensor {
    const wide = x.dtype === "float64" ? x : x.to("float32");
    return rmsNorm(wide, this.weight.to(wide.dtype), this.#eps).to(dtype);
  }
}
