import { DeviceTensor } from "../torch/device_tensor.js";
import { parameterOperation } from "./leaf.js";
import { buildLeaf } from "./operation.js";
import { Tensor, typeName, type TensorType } from "./tensor.js";

/**
 * A tensor with a value of its own that outlives programs. Inside a traced function it is used like any tensor; at
 * each run the program reads the value it has then. One without a value can be traced and planned with, not run.
 */
export class Parameter extends Tensor {
  readonly id: number;
  /** Whether gradients are built towards it. Read when a program is traced. */
  trainable: boolean;
  #value: DeviceTensor | undefined;
  #version = 0;

  static #count = 0;

  /** Takes ownership of a value; a type alone makes a parameter without one. */
  constructor(value: DeviceTensor | TensorType, options: { readonly trainable?: boolean } = {}) {
    const { shape, dtype } = value;
    const { node, outputs } = buildLeaf(parameterOperation);
    super(node, 0, { shape, dtype });
    outputs.push(this);
    this.id = Parameter.#count++;
    this.trainable = options.trainable ?? true;
    this.#value = value instanceof DeviceTensor ? value : undefined;
  }

  get value(): DeviceTensor {
    if (this.#value !== undefined) return this.#value;
    throw new TypeError(`This parameter of ${typeName(this)} has a shape only, and no value.`);
  }

  /** Counts changes of the value, so that what was computed from an old one is not taken for current. */
  get version(): number {
    return this.#version;
  }

  /** Replaces the value and disposes of the old one. */
  set(value: DeviceTensor): void {
    if (value.dtype !== this.dtype || value.shape.join() !== this.shape.join()) {
      throw new TypeError(
        `A parameter of ${this.dtype}[${this.shape.join(", ")}] cannot hold ${value.dtype}[${value.shape.join(", ")}].`,
      );
    }
    if (value !== this.#value) this.#value?.dispose();
    this.#value = value;
    this.#version++;
  }

  /** To be called after the value was changed in place. */
  touch(): void {
    this.#version++;
  }

  dispose(): void {
    this.#value?.dispose();
  }
}

/** The parameter behind a tensor, if it is one. */
export const asParameter = (tensor: Tensor): Parameter | undefined =>
  tensor instanceof Parameter ? tensor : undefined;
