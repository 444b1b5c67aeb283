import {
  add,
  cat,
  customVjp,
  linear,
  packedLinear,
  pad,
  split,
  zeros,
  type Tensor,
} from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";
import { packsWeights } from "./packed_weights.js";

/** Something that adds to what a linear layer computes, such as LoRA. */
export interface LinearAdapter {
  /** What is added to the output `y` of the layer alone, for the same input [..., in]: [..., out]. */
  delta(x: Tensor, y: Tensor, layer: Linear): Tensor;
  /** The weight [out, in], from the layer's own in float32, with which it alone computes the same; without dropout. */
  merged(weight: Tensor): Tensor;
  /** Matrices down [r, in] and up [out, r] with delta(x) = x down^T up^T, if that is all there is to it. */
  factors?(dtype: DType): LowRank | undefined;
}

/** A matrix up down, kept as its two factors. */
export interface LowRank {
  readonly down: Tensor;
  readonly up: Tensor;
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

  /** The dtype of a weight that takes this one's place. */
  get weightDType(): DType {
    return this.weight.dtype;
  }

  /** Whether one product may compute this layer's output and that of others together. */
  get joins(): boolean {
    return true;
  }

  /** @param x [..., in] in the dtype that the product is computed in; the weight is converted to it. */
  forward(x: Tensor): Tensor {
    const bias = this.bias?.to(x.dtype);
    if (packsWeights()) return packedLinear(x, this.mergedWeight(x.dtype), bias);
    const y = linear(x, this.baseWeight(x.dtype), bias);
    return this.adapter === undefined ? y : add(y, this.adapter.delta(x, y, this));
  }

  /** The weight [out, in] without the adapter. Adapters know the layer's weight through this alone. */
  baseWeight(dtype: DType): Tensor {
    return this.weight.to(dtype);
  }

  /** A weight [out, in] as {@link weight} holds it. */
  storedWeight(weight: Tensor): Tensor {
    return weight;
  }

  /** The weight with the adapter's share in it. */
  mergedWeight(dtype: DType): Tensor {
    if (this.adapter === undefined) return this.baseWeight(dtype);
    return this.adapter.merged(this.baseWeight("float32")).to(dtype);
  }
}

/** Weights of more elements together are not joined: the copy would cost memory, and large products gain nothing. */
const joinedElements = 2 ** 20;

/**
 * Outputs of several layers for the same input. Small or packed weights are joined, so that one product computes all;
 * the same holds for adapters of low rank on top of them.
 */
export function linearTogether<const Layers extends readonly Linear[]>(
  layers: Layers,
  x: Tensor,
): { readonly [K in keyof Layers]: Tensor };
export function linearTogether(layers: readonly Linear[], x: Tensor): readonly Tensor[] {
  if (layers.some(({ joins }) => !joins)) return layers.map((layer) => layer.forward(x));
  const packs = packsWeights();
  const elements = layers.reduce((sum, { weight }) => sum + weight.numel, 0);
  const factors = layers.map(({ adapter }) => adapter?.factors?.(x.dtype));
  const simple = layers.every(({ adapter }, i) => adapter === undefined || factors[i] !== undefined);
  if (!packs && (elements > joinedElements || !simple)) return layers.map((layer) => layer.forward(x));
  const bias = layers.some((layer) => layer.bias !== undefined)
    ? cat(layers.map((layer) => layer.bias?.to(x.dtype) ?? zeros([layer.outFeatures], x.dtype)))
    : undefined;
  const sizes = layers.map((layer) => layer.outFeatures);
  if (packs) {
    const weight = cat(layers.map((layer) => layer.mergedWeight(x.dtype)));
    return split(packedLinear(x, weight, bias), sizes, -1);
  }
  const y = linear(x, cat(layers.map((layer) => layer.baseWeight(x.dtype))), bias);
  const low = joinFactors(factors, sizes);
  return splitOutputs(low === undefined ? y : add(y, linear(linear(x, low.down), low.up)), sizes);
}

/** The factors of several layers as those of one: `up` holds them as blocks on its diagonal. */
function joinFactors(
  factors: readonly (LowRank | undefined)[],
  sizes: readonly number[],
): LowRank | undefined {
  const present = factors.filter((f) => f !== undefined);
  if (present.length === 0) return undefined;
  const rank = present.reduce((sum, { down }) => sum + down.shape[0]!, 0);
  let before = 0;
  const blocks = factors.map((f, i) => {
    if (f === undefined) return zeros([sizes[i]!, rank], present[0]!.up.dtype);
    const own = f.up.shape[1]!;
    before += own;
    return pad(f.up, 1, before - own, rank - before);
  });
  return { down: cat(present.map(({ down }) => down)), up: cat(blocks) };
}

/** Slices of the last dimension, whose gradients are put together again in one step. */
export const splitOutputs = (y: Tensor, sizes: readonly number[]): readonly Tensor[] =>
  customVjp(
    [y],
    (whole) => ({ results: split(whole, sizes, -1), keep: undefined }),
    (gradients) => [
      cat(
        gradients.map((g, i) => g ?? zeros([...y.shape.slice(0, -1), sizes[i]!], y.dtype)),
        -1,
      ),
    ],
  );
