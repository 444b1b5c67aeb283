import { add, linear, type Tensor } from "../tensor/index.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";

/** Something that adds to what a linear layer computes, such as LoRA. */
export interface LinearAdapter {
  /** What is added to the output, for the same input [..., in]: [..., out]. */
  delta(x: Tensor): Tensor;
}

/** y = x W^T + b with W [out, in], as torch.nn.Linear. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  /** Adds its delta to the output while it is set. */
  adapter: (Module & LinearAdapter) | undefined;

  constructor(weight: Parameter, bias?: Parameter) {
    super();
    this.weight = weight;
    this.bias = bias;
    this.adapter = undefined;
  }

  get inFeatures(): number {
    return this.weight.shape[1]!;
  }

  get outFeatures(): number {
    return this.weight.shape[0]!;
  }

  /** @param x [..., in] in the dtype that the product is computed in; the weight is converted to it. */
  forward(x: Tensor): Tensor {
    const y = linear(x, this.weight.to(x.dtype), this.bias?.to(x.dtype));
    return this.adapter === undefined ? y : add(y, this.adapter.delta(x));
  }
}
