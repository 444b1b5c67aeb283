import { embedding, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";

/** A table [vocabulary, size] whose rows stand for tokens. */
export class Embedding extends Module {
  readonly weight: Parameter;

  constructor(weight: Parameter) {
    super();
    this.weight = weight;
  }

  /** @param ids int64 [...]; returns [..., size] as `dtype`. */
  forward(ids: Tensor, dtype: DType = this.weight.dtype): Tensor {
    return embedding(this.weight, ids).to(dtype);
  }
}
