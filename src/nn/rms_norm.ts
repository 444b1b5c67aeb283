import { add, div, hypot, mul, norm, rmsNorm, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";
import { packsWeights } from "./packed_weights.js";

/** x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang & Sennrich 2019), computed in float32. */
export class RMSNorm extends Module {
  readonly weight: Parameter;
  readonly #eps: number;
  readonly #offset: number;

  /** @param offset added to the weight: 1 for the models that keep it as a difference from 1 */
  constructor(weight: Parameter, eps: number, offset: 0 | 1 = 0) {
    super();
    this.weight = weight;
    this.#eps = eps;
    this.#offset = offset;
  }

  /** @param x [..., size]; the result is converted to `dtype`. */
  forward(x: Tensor, dtype: DType = x.dtype): Tensor {
    const wide = x.dtype === "float64" ? x : x.to("float32");
    const weight = this.weight.to(wide.dtype);
    if (packsWeights()) return this.#ofFewRows(wide, weight).to(dtype);
    return rmsNorm(wide, this.#offset === 0 ? weight : add(weight, this.#offset), this.#eps).to(dtype);
  }

  /** The same as x / hypot(|x|, sqrt(n eps)) times sqrt(n) weight: fewer passes, which count where rows are few. */
  #ofFewRows(x: Tensor, weight: Tensor): Tensor {
    const size = x.shape.at(-1)!;
    const factor = mul(this.#offset === 0 ? weight : add(weight, this.#offset), Math.sqrt(size));
    return mul(div(x, hypot(norm(x, -1, true), Math.sqrt(size * this.#eps))), factor);
  }
}
