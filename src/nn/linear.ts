import { add, cat, linear, packedLinear, split, zeros, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";
import { packsWeights } from "./packed_weights.js";

/** Something that adds to what a linear layer computes, such as LoRA. */
export interface LinearAdapter {
  /** What is added to the output, for the same input [..., in]: [..., out]. */
  delta(x: Tensor): Tensor;
  /** The weight [out, in] with which the layer alone computes the same, in float32 or wider; without dropout. */
  merged(weight: Tensor): Tensor;
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
    const bias = this.bias?.to(x.dtype);
    if (packsWeights()) return packedLinear(x, this.mergedWeight(x.dtype), bias);
    const y = linear(x, this.weight.to(x.dtype), bias);
    return this.adapter === undefined ? y : add(y, this.adapter.delta(x));
  }

  /** The weight with the adapter's share in it. */
  mergedWeight(dtype: DType): Tensor {
    return (this.adapter?.merged(this.weight) ?? this.weight).to(dtype);
  }
}

/** Outputs of several layers for the same input. Packed weights are joined, so that one product computes all. */
export function linearTogether<const Layers extends readonly Linear[]>(
  layers: Layers,
  x: Tensor,
): { readonly [K in keyof Layers]: Tensor };
export function linearTogether(layers: readonly Linear[], x: Tensor): readonly Tensor[] {
  if (!packsWeights()) return layers.map((layer) => layer.forward(x));
  const weight = cat(layers.map((layer) => layer.mergedWeight(x.dtype)));
  const bias = layers.some((layer) => layer.bias !== undefined)
    ? cat(layers.map((layer) => layer.bias?.to(x.dtype) ?? zeros([layer.outFeatures], x.dtype)))
    : undefined;
  const sizes = layers.map((layer) => layer.outFeatures);
  return split(packedLinear(x, weight, bias), sizes, -1);
}
