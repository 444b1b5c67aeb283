import type { DType } from "./dtype.js";

/** Conversions between JavaScript numbers and the bits of bfloat16 and float16. */

const cell = new Float32Array(1);
const bits = new Uint32Array(cell.buffer);

/** Rounds to the nearest bfloat16, ties to even, and returns its 16 bits. */
export function toBFloat16Bits(value: number): number {
  cell[0] = value;
  const b = bits[0]!;
  if ((b & 0x7fffffff) > 0x7f800000) return (b >>> 16) | 0x40;
  return ((b + 0x7fff + ((b >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromBFloat16Bits(half: number): number {
  bits[0] = half << 16;
  return cell[0]!;
}

/** Rounds to the nearest float16, ties to even, and returns its 16 bits. */
export function toFloat16Bits(value: number): number {
  cell[0] = value;
  const b = bits[0]!;
  const sign = (b >>> 16) & 0x8000;
  const magnitude = b & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal: the spacing of float16 below 2^-14 is 2^-24, and adding 2^-1 aligns the rounding there.
    cell[0] = Math.abs(value) + 0.5;
    return sign | (bits[0]! - 0x3f000000);
  }
  return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}

export function fromFloat16Bits(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest number that a dtype of floats holds; float64 as it is. */
export function roundTo(value: number, dtype: DType): number {
  if (dtype === "bfloat16") return fromBFloat16Bits(toBFloat16Bits(value));
  if (dtype === "float16") return fromFloat16Bits(toFloat16Bits(value));
  return dtype === "float32" ? Math.fround(value) : value;
}
