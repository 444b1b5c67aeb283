import { CraftError } from "../errors.js";
import { cpu, type Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";
import type { HostData } from "../torch/host_data.js";
import { numel, type Shape, type TensorType } from "./tensor.js";

/** A number, or arrays of numbers nested to equal depth and length. */
export type NestedNumbers = number | readonly NestedNumbers[];

/** Numbers in JavaScript memory with a shape and a dtype: what a program is fed, or a constant of one. */
export class HostTensor implements TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
  /** The one value of all elements, if the tensor was made by {@link filled}. */
  readonly fill: number | undefined;
  readonly #data: HostData;

  /** `data` holds the elements in row-major order. */
  constructor(data: HostData, shape: Shape, dtype: DType, fill?: number) {
    if (fill === undefined && data.length !== numel(shape)) {
      throw new CraftError({
        subject: "tensor data",
        value: `${data.length} elements`,
        reason: `shape [${shape.join(", ")}] has ${numel(shape)}`,
      });
    }
    this.#data = data;
    this.shape = shape;
    this.dtype = dtype;
    this.fill = fill;
  }

  static filled(shape: Shape, value: number, dtype: DType): HostTensor {
    return new HostTensor([], shape, dtype, value);
  }

  /** Reads nested arrays; ragged ones are refused. Numbers become float32 unless `dtype` says otherwise. */
  static from(value: NestedNumbers, dtype: DType = "float32"): HostTensor {
    const shape: number[] = [];
    for (let level: NestedNumbers | undefined = value; typeof level === "object"; level = level[0])
      shape.push(level.length);
    const flat: number[] = [];
    const visit = (item: NestedNumbers, depth: number): void => {
      if (typeof item === "number") {
        if (depth !== shape.length) throw ragged(shape);
        flat.push(item);
        return;
      }
      if (item.length !== shape[depth]) throw ragged(shape);
      for (const child of item) visit(child, depth + 1);
    };
    visit(value, 0);
    return new HostTensor(flat, shape, dtype);
  }

  get data(): HostData {
    return this.fill === undefined ? this.#data : new Float64Array(numel(this.shape)).fill(this.fill);
  }

  /** Copies the numbers to a device. */
  upload(device: Device = cpu): DeviceTensor {
    return this.fill === undefined
      ? DeviceTensor.fromHost(this.#data, this.shape, this.dtype, device)
      : DeviceTensor.full(this.shape, this.fill, this.dtype, device);
  }
}

const ragged = (shape: Shape): CraftError =>
  new CraftError({
    subject: "nested array",
    reason: `is ragged: its first rows have shape [${shape.join(", ")}] and others do not`,
  });

/** Numbers to feed to a compiled function: `tensor([[1, 2], [3, 4]])`, `tensor([1, 2], "int64")`. */
export const tensor = (value: NestedNumbers, dtype?: DType): HostTensor => HostTensor.from(value, dtype);
