import { dtypeBytes, type DType } from "./dtype.js";
import { fromBFloat16Bits, fromFloat16Bits, toBFloat16Bits, toFloat16Bits } from "./float_bits.js";

export type TypedArray = Float32Array | Float64Array | Int32Array | Int8Array | Uint8Array | BigInt64Array;

/** Elements in row-major order, as numbers or in a typed array. */
export type HostData = ArrayLike<number> | BigInt64Array;

function native(bytes: Uint8Array, dtype: DType): TypedArray | Uint16Array {
  const { buffer, byteOffset } = bytes;
  const length = bytes.byteLength / dtypeBytes(dtype);
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer, byteOffset, length);
    case "float64":
      return new Float64Array(buffer, byteOffset, length);
    case "float16":
    case "bfloat16":
      return new Uint16Array(buffer, byteOffset, length);
    case "int64":
      return new BigInt64Array(buffer, byteOffset, length);
    case "int32":
      return new Int32Array(buffer, byteOffset, length);
    case "int8":
      return new Int8Array(buffer, byteOffset, length);
    case "uint8":
    case "bool":
      return bytes;
  }
}

/** Writes host data as elements of `dtype` into `target`, rounding to nearest even where the dtype is narrower. */
export function encode(data: HostData, dtype: DType, target: Uint8Array): void {
  const view = native(target, dtype);
  if (view instanceof BigInt64Array) {
    if (data instanceof BigInt64Array) view.set(data);
    else encodeInt64(data, target);
    return;
  }
  if (data instanceof BigInt64Array) {
    for (let i = 0; i < data.length; i++) view[i] = Number(data[i]!);
    return;
  }
  if (dtype === "float16" || dtype === "bfloat16") {
    const convert = dtype === "float16" ? toFloat16Bits : toBFloat16Bits;
    for (let i = 0; i < data.length; i++) view[i] = convert(data[i]!);
  } else if (dtype === "bool") {
    for (let i = 0; i < data.length; i++) view[i] = data[i]! === 0 ? 0 : 1;
  } else {
    view.set(data);
  }
}

function encodeInt64(data: ArrayLike<number>, target: Uint8Array): void {
  const words = new Int32Array(target.buffer, target.byteOffset, data.length * 2);
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    words[2 * i] = value | 0;
    words[2 * i + 1] = Math.floor(value / 4294967296);
    if (value >= 2147483648 || value < -2147483648) words[2 * i] = Number(BigInt.asIntN(32, BigInt(value)));
  }
}

/** Copies the elements out of native memory. */
export function decode(bytes: Uint8Array, dtype: DType): TypedArray {
  const view = native(bytes, dtype);
  if (!(view instanceof Uint16Array)) return view.slice();
  const convert = dtype === "float16" ? fromFloat16Bits : fromBFloat16Bits;
  const result = new Float32Array(view.length);
  for (let i = 0; i < view.length; i++) result[i] = convert(view[i]!);
  return result;
}
