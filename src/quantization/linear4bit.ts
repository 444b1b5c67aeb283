/** @file A linear layer whose weight is in 4 bits. */
import { Linear, type Module } from "../nn/index.js";
import { add, Parameter, type Tensor } from "../tensor/index.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";
import { dequantized, fourBitLinear } from "./dequantized.js";
import { heldBy, tensorsOf, type FourBits } from "./four_bits.js";
import { dequantize } from "./quantize.js";

/**
 * y = x W^T + b with a frozen W [out, in] in 4 bits. W is turned back into numbers for each product, forward and backward,
 * and gone after it: neither a program nor a cache keeps it.
 *
 * `weight` is what is packed, uint8. A float weight [out, in] may be put in its place, as merging does: the layer is then
 * an ordinary one, until the packed weight comes back.
 */
export class Linear4bit extends Linear {
  readonly #shape: readonly [number, number];
  readonly #dtype: DType;
  readonly #compute: DType | undefined;
  #stored: FourBits<Parameter> | undefined;

  /**
   * Takes ownership of the tensors.
   *
   * @param dtypes.weight of a weight that takes the place of that in 4 bits
   * @param dtypes.compute of the product; that of the input by default
   */
  constructor(
    bits: FourBits<Parameter>,
    bias: Parameter | undefined,
    dtypes: { readonly weight: DType; readonly compute?: DType | undefined },
  ) {
    for (const parameter of tensorsOf(bits)) parameter.trainable = false;
    super(bits.packed, bias);
    this.#stored = bits;
    this.#shape = bits.shape;
    this.#dtype = dtypes.weight;
    this.#compute = dtypes.compute;
  }

  /** The weight in 4 bits; undefined where another one is in its place. */
  get bits(): FourBits<Parameter> | undefined {
    return this.weight === this.#stored?.packed ? this.#stored : undefined;
  }

  /** The dtype of the product, where that is not the input's. */
  get compute(): DType | undefined {
    return this.#compute;
  }

  override get inFeatures(): number {
    return this.#shape[1];
  }

  override get outFeatures(): number {
    return this.#shape[0];
  }

  override get weightDType(): DType {
    return this.#dtype;
  }

  override get joins(): boolean {
    return this.bits === undefined;
  }

  override *children(): Generator<readonly [string, Parameter | Module]> {
    yield* super.children();
    const { absmax, nestedAbsmax } = this.#stored ?? {};
    if (absmax !== undefined) yield ["weight.absmax", absmax];
    if (nestedAbsmax !== undefined) yield ["weight.nested_absmax", nestedAbsmax];
  }

  override forward(x: Tensor): Tensor {
    const { bits } = this;
    if (bits === undefined) return super.forward(x);
    const input = x.to(this.#compute ?? x.dtype);
    const y = fourBitLinear(input, bits, this.bias?.to(input.dtype)).to(x.dtype);
    return this.adapter === undefined ? y : add(y, this.adapter.delta(x, y, this));
  }

  override baseWeight(dtype: DType): Tensor {
    const { bits } = this;
    return bits === undefined ? super.baseWeight(dtype) : dequantized(bits, dtype);
  }

  /** Forgets and frees what was in 4 bits, once another weight has taken its place for good. */
  settle(): void {
    if (this.bits !== undefined) throw new Error("The weight in 4 bits is still in use.");
    if (this.#stored !== undefined) for (const parameter of tensorsOf(this.#stored)) parameter.dispose();
    this.#stored = undefined;
  }

  /** Puts the numbers that the 4 bits stand for in their place, for good. */
  dequantize(): void {
    const { bits } = this;
    if (bits === undefined) return;
    const value = wholeWeight(bits, this.#dtype);
    this.replaceParameters((p) =>
      p === bits.packed ? new Parameter(value, { trainable: false }) : undefined,
    );
    this.settle();
  }
}

/** The matrix that a parameter in 4 bits stands for, on its device. The caller owns it. */
export function wholeWeight(bits: FourBits<Parameter>, dtype: DType): DeviceTensor {
  using host = dequantize(heldBy(bits, (parameter) => parameter.value));
  const value = DeviceTensor.empty(bits.shape, dtype, bits.packed.value.device);
  value.copyFrom(host);
  return value;
}

/**
 * How many numbers each parameter of a module stands for: one in 4 bits for those of its matrix, and scales for none. Shared
 * parameters come once.
 */
export function parameterCounts(module: Module): Map<Parameter, number> {
  const counts = new Map(module.parameters().map((parameter) => [parameter, parameter.numel]));
  for (const [, , bits] of fourBitLayers(module)) {
    for (const parameter of tensorsOf(bits)) counts.set(parameter, 0);
    counts.set(bits.packed, bits.shape[0] * bits.shape[1]);
  }
  return counts;
}

/** Puts whole weights in the place of those in 4 bits, as transformers' `dequantize` does, one layer after another. */
export function dequantizeLayers(model: Module): void {
  for (const [, layer] of [...fourBitLayers(model)]) layer.dequantize();
}

/** The layers whose weights are in 4 bits, with their paths. */
export function* fourBitLayers(model: Module): Generator<readonly [string, Linear4bit, FourBits<Parameter>]> {
  for (const [path, module] of model.namedModules())
    if (module instanceof Linear4bit && module.bits !== undefined) yield [path, module, module.bits];
}
