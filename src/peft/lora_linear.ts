/** @file Low-rank updates of linear layers: LoRA (Hu et al. 2021) and DoRA (Liu et al. 2024). */
import { Module, type Linear, type LinearAdapter, type LowRank } from "../nn/index.js";
import { add, cat, dropout, linear, mul, sub, type Parameter, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import { magnitudeFactor } from "./magnitude.js";

/** The tensors of one layer's update, float32. */
export interface LoraFactors {
  /** [r, in] */
  readonly a: Parameter;
  /** [out, r] */
  readonly b: Parameter;
  /** DoRA's magnitudes [out]. */
  readonly magnitude?: Parameter | undefined;
  /** What A and B were at first, where that was taken out of the weight: frozen. */
  readonly start?: { readonly a: Parameter; readonly b: Parameter } | undefined;
}

const product = (x: Tensor, { down, up }: LowRank): Tensor => linear(linear(x, down), up);

/**
 * Adds scale B A dropout(x) to a linear layer's output. Where the initial A0 and B0 are a part of the weight W (PiSSA,
 * OLoRA), W - scale B0 A0 takes its place, and W itself stays as it is.
 *
 * With magnitudes m the weight is m (W + scale B A) / n, where n is the Euclidean norm of each row of W + scale B A, a
 * constant in the eyes of differentiation.
 */
export class LoraLinear extends Module implements LinearAdapter {
  readonly loraA: Parameter;
  readonly loraB: Parameter;
  readonly loraMagnitudeVector: Parameter | undefined;
  readonly startA: Parameter | undefined;
  readonly startB: Parameter | undefined;
  readonly #scale: number;
  readonly #dropout: number;

  constructor({ a, b, magnitude, start }: LoraFactors, scale: number, dropout: number) {
    super();
    this.loraA = a;
    this.loraB = b;
    this.loraMagnitudeVector = magnitude;
    this.startA = start?.a;
    this.startB = start?.b;
    this.#scale = scale;
    this.#dropout = dropout;
  }

  get scale(): number {
    return this.#scale;
  }

  /** What is trained, by the name that follows the layer's path in files. */
  *trained(): Generator<readonly [string, Parameter]> {
    yield ["lora_A.weight", this.loraA];
    yield ["lora_B.weight", this.loraB];
    if (this.loraMagnitudeVector !== undefined) yield ["lora_magnitude_vector", this.loraMagnitudeVector];
  }

  delta(x: Tensor, y: Tensor, layer: Linear): Tensor {
    const dropped = dropout(x, this.#dropout);
    if (this.loraMagnitudeVector !== undefined) return this.#doraDelta(x, dropped, y, layer);
    if (dropped === x) return product(x, this.#both(x.dtype));
    const delta = product(dropped, this.#update(x.dtype));
    const start = this.#start(x.dtype);
    return start === undefined ? delta : add(delta, product(x, start));
  }

  factors(dtype: DType): LowRank | undefined {
    const simple = this.#dropout === 0 && this.loraMagnitudeVector === undefined;
    return simple ? this.#both(dtype) : undefined;
  }

  merged(weight: Tensor): Tensor {
    const whole = this.#updated(weight);
    const factor = this.#factor(whole);
    return factor === undefined ? whole : mul(whole, factor.unsqueeze(1));
  }

  /** What takes the weight from y = W x + bias to m (W + scale B A) / n x + bias. */
  #doraDelta(x: Tensor, dropped: Tensor, y: Tensor, layer: Linear): Tensor {
    const factor = this.#factor(this.#updated(layer.baseWeight("float32")))!;
    const scaled = ({ down, up }: LowRank, by: Tensor): LowRank => ({
      down,
      up: mul(up, by.unsqueeze(1)).to(x.dtype),
    });
    const beyond = sub(factor, 1);
    if (dropped === x) {
      const product0 = layer.bias === undefined ? y : sub(y, layer.bias.to(y.dtype));
      return add(mul(product0, beyond.to(y.dtype)), product(x, scaled(this.#both("float32"), factor)));
    }
    // As in PEFT, only what is added to the layer's output sees dropout.
    const weighed = mul(linear(dropped, layer.baseWeight(x.dtype)), beyond.to(x.dtype));
    const delta = add(weighed, product(dropped, scaled(this.#update("float32"), factor)));
    const start = this.#start("float32");
    if (start === undefined) return delta;
    return add(delta, add(product(dropped, scaled(start, beyond)), product(x, this.#start(x.dtype)!)));
  }

  #factor(whole: Tensor): Tensor | undefined {
    return this.loraMagnitudeVector && magnitudeFactor(this.loraMagnitudeVector, whole, 1);
  }

  /** W + scale B A, less the start. */
  #updated(weight: Tensor): Tensor {
    const sum = add(weight, mul(this.loraB.matmul(this.loraA), this.#scale));
    if (this.startA === undefined || this.startB === undefined) return sum;
    return sub(sum, mul(this.startB.matmul(this.startA), this.#scale));
  }

  /** The scale goes to A, whose product with it is computed once a step. */
  #update(dtype: DType): LowRank {
    return { down: mul(this.loraA, this.#scale).to(dtype), up: this.loraB.to(dtype) };
  }

  /** What is taken out of the weight. */
  #start(dtype: DType): LowRank | undefined {
    if (this.startA === undefined || this.startB === undefined) return undefined;
    return { down: mul(this.startA, -this.#scale).to(dtype), up: this.startB.to(dtype) };
  }

  #both(dtype: DType): LowRank {
    const update = this.#update(dtype);
    const start = this.#start(dtype);
    if (start === undefined) return update;
    return { down: cat([update.down, start.down]), up: cat([update.up, start.up], 1) };
  }
}
