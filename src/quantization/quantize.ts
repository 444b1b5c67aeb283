/** @file Matrices into 4 bits and back, on the host, by the formulas of bitsandbytes' kernels. */
import { CraftError } from "../errors.js";
import { cpu, type Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { dtypeBytes, type DType } from "../torch/dtype.js";
import { roundTo } from "../torch/float_bits.js";
import { decode } from "../torch/host_data.js";
import { coders, dynamicIndexOf, dynamicMap, levels, type FourBitType } from "./code_books.js";
import {
  fourBitSizes,
  heldBy,
  nestedBlockSize,
  tensorsOf,
  type FourBitFormat,
  type FourBits,
} from "./four_bits.js";

export interface FourBitOptions {
  readonly type: FourBitType;
  /** Whether scales are stored in 8 bits (double quantisation). */
  readonly double: boolean;
  /** Elements that share a scale, 64 by default: even. */
  readonly blockSize?: number;
}

/**
 * A matrix [out, in] of float32, bfloat16 or float16 in 4 bits, on the matrix's device. The caller owns the result, and
 * the matrix still.
 *
 * Block by block, with a = max|x| and s = 1 / a in float32, the code of x is that of the level next to x s. With `double`,
 * the scales less their mean are stored in the same way, in 8 bits, 256 to a block. The mean is taken in float64, so that
 * it does not depend on the processor as in bitsandbytes.
 *
 * @param subject names the matrix in errors
 * @throws CraftError if an element is not finite, for other dtypes and for block sizes that are not even.
 */
export function quantize(weight: DeviceTensor, options: FourBitOptions, subject = "weight"): FourBits {
  using local = weight.device.type === "cpu" ? undefined : weight.to(cpu);
  const bytes = (local ?? weight).bytes();
  const width = dtypeBytes(weight.dtype);
  const read: MatrixElements["read"] = (begin, end) => bytes.subarray(begin * width, end * width);
  const { shape, dtype, device } = weight;
  return quantizeElements({ shape, dtype, device, read }, options, subject);
}

/** A matrix whose elements are read a few thousand at a time, in order. */
export interface MatrixElements {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Where the matrix in 4 bits is to be. */
  readonly device: Device;
  /** Elements from `begin` up to `end`, in their dtype; valid until the next call. */
  readonly read: (begin: number, end: number) => Uint8Array;
}

/**
 * {@link quantize} of a matrix that is never in memory whole: between the small ones that stay, a large one that comes and
 * goes would leave holes.
 */
export function quantizeElements(
  elements: MatrixElements,
  options: FourBitOptions,
  subject = "weight",
): FourBits {
  const { shape, dtype, device } = elements;
  if (dtype !== "float32" && dtype !== "bfloat16" && dtype !== "float16")
    throw new CraftError({
      subject,
      value: dtype,
      reason: "cannot be stored in 4 bits",
      remedy: "Use float32, bfloat16 or float16.",
    });
  if (shape.length !== 2)
    throw new CraftError({ subject, value: `[${shape.join(", ")}]`, reason: "is no matrix" });
  const { blockSize = 64 } = options;
  if (!Number.isInteger(blockSize) || blockSize < 2 || blockSize % 2 !== 0)
    throw new CraftError({ subject: "blockSize", value: blockSize, reason: "must be an even number" });
  const format = { type: options.type, shape: [shape[0]!, shape[1]!] as const, blockSize, dtype };
  const { bytes, blocks } = fourBitSizes(format);
  const packed = DeviceTensor.empty([bytes, 1], "uint8");
  let bits: FourBits;
  try {
    const absmax = new Float32Array(blocks);
    packBlocks(elements, format, packed.bytes(), absmax, subject);
    bits = options.double
      ? { ...format, packed, ...nestedScales(absmax) }
      : { ...format, packed, absmax: DeviceTensor.fromHost(absmax, [blocks], "float32") };
  } catch (error) {
    packed.dispose();
    throw error;
  }
  if (device.type === "cpu") return bits;
  const moved = heldBy(bits, (tensor) => tensor.to(device));
  for (const tensor of tensorsOf(bits)) tensor.dispose();
  return moved;
}

/** Elements that are converted to float32 at a time: whole blocks, little memory. */
const runElements = 2 ** 15;

function packBlocks(
  { read, dtype }: MatrixElements,
  { type, shape, blockSize }: FourBitFormat,
  into: Uint8Array,
  absmax: Float32Array,
  subject: string,
): void {
  const elements = shape[0] * shape[1];
  const coder = coders[type];
  const run = Math.max(1, Math.floor(runElements / blockSize)) * blockSize;
  // With one element more, since codes go by twos: what an odd size is filled up with is 0.
  const scaled = new Float32Array(blockSize + 1);
  for (let begin = 0; begin < elements; begin += run) {
    const end = Math.min(elements, begin + run);
    const values = toFloats(read(begin, end), dtype);
    for (let first = 0; first < values.length; first += blockSize) {
      const count = Math.min(values.length - first, blockSize);
      const most = largest(values, first, count);
      if (!Number.isFinite(most))
        throw new CraftError({
          subject,
          reason: "has elements that are not finite",
          remedy: "Check the weights.",
        });
      absmax[(begin + first) / blockSize] = most;
      const scale = Math.fround(1 / most);
      for (let i = 0; i < count; i++) scaled[i] = values[first + i]! * scale;
      scaled[count] = 0;
      coder.pack(scaled, count + (count % 2), into, (begin + first) >> 1);
    }
  }
}

/** Elements in float32; a copy. */
function toFloats(bytes: Uint8Array, dtype: DType): Float32Array {
  if (dtype !== "bfloat16") return decode(bytes, dtype) as Float32Array;
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const words = new Uint32Array(halves.length);
  // A bfloat16 is the upper half of a float32.
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Float32Array(words.buffer);
}

/** The largest magnitude; NaN or infinite where an element is. */
function largest(values: Float32Array, first: number, count: number): number {
  let most = 0;
  for (let i = first; i < first + count; i++) {
    const size = Math.abs(values[i]!);
    if (!(size <= most)) most = size;
    if (size !== size) return size;
  }
  return most;
}

function nestedScales(absmax: Float32Array): Pick<FourBits, "nested" | "absmax" | "nestedAbsmax"> {
  const { fround } = Math;
  const blocks = absmax.length;
  const offset = fround(absmax.reduce((sum, value) => sum + value, 0) / Math.max(1, blocks));
  const indices = new Uint8Array(blocks);
  const scales = new Float32Array(Math.ceil(blocks / nestedBlockSize));
  for (let first = 0; first < blocks; first += nestedBlockSize) {
    const part = absmax.slice(first, first + nestedBlockSize).map((value) => value - offset);
    const most = part.reduce((a, value) => Math.max(a, Math.abs(value)), 0);
    scales[first / nestedBlockSize] = most;
    const scale = fround(1 / most);
    part.forEach((value, i) => (indices[first + i] = dynamicIndexOf(fround(value * scale))));
  }
  return {
    nested: { blockSize: nestedBlockSize, offset },
    absmax: DeviceTensor.fromHost(indices, [blocks], "uint8"),
    nestedAbsmax: DeviceTensor.fromHost(scales, [scales.length], "float32"),
  };
}

/** The scales in float32, on the host. */
function scalesOf({ nested, absmax, nestedAbsmax }: FourBits): Float32Array {
  const { fround } = Math;
  if (nested === undefined || nestedAbsmax === undefined) return Float32Array.from(absmax.toNumbers());
  const outer = nestedAbsmax.toNumbers();
  return Float32Array.from(absmax.toNumbers(), (index, i) => {
    const scale = outer[Math.floor(i / nested.blockSize)]!;
    return fround(dynamicMap[index]! * scale) + nested.offset;
  });
}

/** The matrix [out, in] that 4 bits stand for, rounded to their dtype, in float32 on the host's side. The caller owns it. */
export function dequantize(bits: FourBits): DeviceTensor {
  const { shape, blockSize, dtype, type, packed } = bits;
  const result = DeviceTensor.empty(shape, "float32");
  const bytes = result.bytes();
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, shape[0] * shape[1]);
  const scales = scalesOf(bits);
  const table = levels[type];
  using local = packed.to(cpu);
  const codes = local.bytes();
  for (let i = 0; i < values.length; i++) {
    const byte = codes[i >> 1]!;
    const code = i % 2 === 0 ? byte >> 4 : byte & 15;
    values[i] = roundTo(Math.fround(table[code]! * scales[Math.floor(i / blockSize)]!), dtype);
  }
  return result;
}

/** The transpose of a matrix of 2 or 4 bytes an element, on its device. The caller owns it. */
export function transposed(matrix: DeviceTensor): DeviceTensor {
  const [rows, columns] = matrix.shape as readonly [number, number];
  using local = matrix.to(cpu);
  using result = DeviceTensor.empty([columns, rows], matrix.dtype);
  const elements = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint16Array | Uint32Array =>
    dtypeBytes(matrix.dtype) === 2
      ? new Uint16Array(buffer, byteOffset, byteLength / 2)
      : new Uint32Array(buffer, byteOffset, byteLength / 4);
  const [from, to] = [elements(local.bytes()), elements(result.bytes())];
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j]!;
  return result.to(matrix.device);
}
