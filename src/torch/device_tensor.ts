import { CraftError } from "../errors.js";
import { cpu, deviceCode, deviceName, type Device } from "./device.js";
import { dtypeBytes, dtypeCode, type DType } from "./dtype.js";
import { decode, encode, type HostData, type TypedArray } from "./host_data.js";
import { viewNative, type Address } from "./library.js";
import { NativeMemory } from "./native_memory.js";
import { torch } from "./torch.js";

let live = 0;

/** Native tensors that this process holds. Constant over training steps, or something leaks. */
export const liveTensors = (): number => live;

const cells = new NativeMemory(512);
const out = 0;

/** Handles whose owner was collected without being disposed of are released here, late but surely. */
const abandoned = new FinalizationRegistry<Address>((handle) => {
  live--;
  torch().library.deleteTensor(handle);
});

const numel = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * A tensor that has memory: contiguous, on one device. Symbolic tensors, on which programs are written, are
 * `Tensor`; programs take and return these.
 *
 * Dispose of it when you are done (`using`, or {@link dispose}); what is forgotten is released when the garbage
 * collector finds it, which may be late.
 */
export class DeviceTensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly device: Device;
  #handle: Address;
  /** How many running programs read the memory; disposal waits for them. */
  #readers = 0;
  #disposed = false;

  /** Takes ownership of a handle. The tensor behind it must be contiguous. */
  constructor(handle: Address, shape: readonly number[], dtype: DType, device: Device) {
    this.#handle = handle;
    this.shape = shape;
    this.dtype = dtype;
    this.device = device;
    live++;
    abandoned.register(this, handle, this);
  }

  /** Memory with undefined contents. */
  static empty(shape: readonly number[], dtype: DType, device: Device = cpu): DeviceTensor {
    return new DeviceTensor(newContiguous(shape, dtype, device), shape, dtype, device);
  }

  static full(
    shape: readonly number[],
    value: number,
    dtype: DType = "float32",
    device: Device = cpu,
  ): DeviceTensor {
    const tensor = DeviceTensor.empty(shape, dtype, device);
    const { library, dispatcher } = torch();
    dispatcher.check(value === 0 ? library.zero(tensor.handle) : library.fill(tensor.handle, value), "fill");
    return tensor;
  }

  /**
   * Copies host data to the device. `data` holds the elements in row-major order; numbers are converted to `dtype`
   * and a typed array that already has the right element type is copied as it is.
   */
  static fromHost(
    data: HostData,
    shape: readonly number[],
    dtype: DType,
    device: Device = cpu,
  ): DeviceTensor {
    if (data.length !== numel(shape)) {
      throw new CraftError({
        subject: "tensor data",
        value: `${data.length} elements`,
        reason: `shape [${shape.join(", ")}] has ${numel(shape)}`,
      });
    }
    const tensor = DeviceTensor.empty(shape, dtype, cpu);
    encode(data, dtype, tensor.bytes());
    if (device.type === "cpu") return tensor;
    const moved = tensor.to(device);
    tensor.dispose();
    return moved;
  }

  /** The native handle, lent. */
  get handle(): Address {
    if (this.disposed) {
      throw new CraftError({
        subject: "tensor",
        value: `${this.dtype}[${this.shape.join(", ")}]`,
        reason: "was disposed of or given away",
        remedy: "Keep it until its last use; optimisers and donated arguments consume what they are given.",
      });
    }
    return this.#handle;
  }

  get disposed(): boolean {
    return this.#handle === 0 || this.#disposed;
  }

  get byteLength(): number {
    return numel(this.shape) * dtypeBytes(this.dtype);
  }

  /** Gives the handle away: this object must not be used afterwards. */
  release(): Address {
    const handle = this.handle;
    if (this.#readers > 0) {
      throw new CraftError({
        subject: "tensor",
        value: `${this.dtype}[${this.shape.join(", ")}]`,
        reason: "cannot be given away while a running program reads it",
        remedy: "Await that program first.",
      });
    }
    this.#forget();
    return handle;
  }

  #forget(): void {
    this.#handle = 0;
    abandoned.unregister(this);
    live--;
  }

  /** Frees the memory, or does so as soon as no running program reads it any more. */
  dispose(): void {
    if (this.#handle === 0) return;
    this.#disposed = true;
    if (this.#readers > 0) return;
    const handle = this.#handle;
    this.#forget();
    torch().library.deleteTensor(handle);
  }

  /** Lends the handle to a run, which ends the loan with {@link giveBack}. */
  lend(): Address {
    const { handle } = this;
    this.#readers++;
    return handle;
  }

  giveBack(): void {
    this.#readers--;
    if (this.#disposed) this.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A copy on another device. */
  to(device: Device): DeviceTensor {
    const { library, dispatcher } = torch();
    const copy = DeviceTensor.empty(this.shape, this.dtype, device);
    dispatcher.check(library.copyInto(copy.handle, this.handle, 0), `copy to ${deviceName(device)}`);
    return copy;
  }

  /** Overwrites the contents, converting the dtype if need be. */
  copyFrom(source: DeviceTensor): void {
    const { library, dispatcher } = torch();
    dispatcher.check(library.copyInto(this.handle, source.handle, 0), "copy");
  }

  /** The bytes of a CPU tensor, writable in place; invalid once the tensor is disposed of. */
  bytes(): Uint8Array {
    if (this.device.type !== "cpu") {
      throw new CraftError({
        subject: "device",
        value: deviceName(this.device),
        reason: "only CPU memory can be viewed",
        remedy: "Use to(cpu) first.",
      });
    }
    if (this.byteLength === 0) return new Uint8Array(0);
    const { library, dispatcher } = torch();
    dispatcher.check(library.getDataPtr(this.handle, cells.at(out)), "get_data_ptr");
    return new Uint8Array(viewNative(cells.readWord(out), this.byteLength));
  }

  /**
   * The elements in row-major order: Float32Array for the floats up to 32 bits, Float64Array for float64,
   * BigInt64Array for int64, Int32Array, Int8Array and Uint8Array (also for bool) otherwise. A copy.
   */
  toTypedArray(): TypedArray {
    if (this.device.type === "cpu") return decode(this.bytes(), this.dtype);
    const local = this.to(cpu);
    try {
      return decode(local.bytes(), this.dtype);
    } finally {
      local.dispose();
    }
  }

  /** The elements as numbers in row-major order. */
  toNumbers(): number[] {
    return Array.from<number | bigint, number>(this.toTypedArray(), Number);
  }

  /** The one element of a tensor of size 1, as a number. */
  item(): number {
    const values = this.toNumbers();
    if (values.length !== 1) {
      throw new CraftError({
        subject: "item()",
        value: `[${this.shape.join(", ")}]`,
        reason: "the tensor does not have exactly one element",
      });
    }
    return values[0]!;
  }
}

function newContiguous(shape: readonly number[], dtype: DType, device: Device): Address {
  const { library, dispatcher } = torch();
  const sizesAt = 64;
  const stridesAt = 256;
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    cells.writeInt(sizesAt + 8 * i, shape[i]!);
    cells.writeInt(stridesAt + 8 * i, stride);
    stride *= Math.max(1, shape[i]!);
  }
  dispatcher.check(
    library.emptyStrided(
      shape.length,
      cells.at(sizesAt),
      cells.at(stridesAt),
      dtypeCode(dtype),
      deviceCode[device.type],
      device.index,
      cells.at(out),
    ),
    `allocate ${dtype}[${shape.join(", ")}]`,
  );
  return cells.readWord(out);
}
