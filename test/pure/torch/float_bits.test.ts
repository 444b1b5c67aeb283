/**
 * @file Half precision bit by bit. The expected numbers come from the formats' definition: sign, exponent e of 5 or 8
 * bits with bias b, fraction f of 10 or 7 bits; (1 + f) 2^(e - b), or f 2^(1 - b) where e is 0.
 */
import { describe, expect, it } from "vitest";
import {
  fromBFloat16Bits,
  fromFloat16Bits,
  toBFloat16Bits,
  toFloat16Bits,
} from "../../../src/torch/float_bits.js";

const formats = [
  { name: "float16", exponentBits: 5, fractionBits: 10, to: toFloat16Bits, from: fromFloat16Bits },
  { name: "bfloat16", exponentBits: 8, fractionBits: 7, to: toBFloat16Bits, from: fromBFloat16Bits },
] as const;

type Format = (typeof formats)[number];

/** The number that 15 bits without a sign stand for, by the definition. */
function defined({ exponentBits, fractionBits }: Format, bits: number): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const exponent = bits >>> fractionBits;
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? Infinity : NaN;
  return exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
}

/** Bits of the representable number nearest to a positive one; of two that are equally near, the even one. */
function nearest(format: Format, value: number): number {
  const infinity = (2 ** format.exponentBits - 1) << format.fractionBits;
  let [low, high] = [0, infinity];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (defined(format, middle) <= value) low = middle;
    else high = middle;
  }
  // For rounding, infinity stands one step above the largest finite number.
  const top = defined(format, infinity - 1);
  const above = high === infinity ? top + (top - defined(format, infinity - 2)) : defined(format, high);
  const [down, up] = [value - defined(format, low), above - value];
  if (down === up) return low % 2 === 0 ? low : high;
  return down < up ? low : high;
}

describe.each(formats)("$name", (format) => {
  const { exponentBits, fractionBits, to, from } = format;

  const infinity = (2 ** exponentBits - 1) << fractionBits;
  const patterns = (count: number): number[] => Array.from({ length: count }, (_, bits) => bits);

  it("reads every pattern of bits", () => {
    const wrong = patterns(32768).filter((bits) => {
      const expected = defined(format, bits);
      return !Object.is(from(bits), expected) || !Object.is(from(bits | 0x8000), -expected);
    });
    expect(wrong).toEqual([]);
  });

  it("writes back every number it reads", () => {
    const wrong = patterns(infinity + 1).filter(
      (bits) => to(from(bits)) !== bits || to(-from(bits)) !== (bits | 0x8000),
    );
    expect(wrong).toEqual([]);
  });

  it("rounds to the nearest, ties to even", () => {
    const values = patterns(infinity - 1).flatMap((bits) => {
      const [a, b] = [defined(format, bits), defined(format, bits + 1)];
      return [0.25, 0.5, 0.75].map((share) => Math.fround(a + (b - a) * share));
    });
    const wrong = values.filter((value) => {
      const expected = nearest(format, value);
      return to(value) !== expected || to(-value) !== (expected | 0x8000);
    });
    expect(wrong).toEqual([]);
  });

  it("keeps what is no number", () => {
    expect(from(to(NaN))).toBeNaN();
    expect(from(to(-NaN))).toBeNaN();
    expect(from(to(Infinity))).toBe(Infinity);
    expect(from(to(-Infinity))).toBe(-Infinity);
  });
});

it.each([
  [toFloat16Bits, 1, 0x3c00],
  [toFloat16Bits, 1 / 3, 0x3555],
  [toFloat16Bits, Math.PI, 0x4248],
  [toFloat16Bits, 65504, 0x7bff],
  [toFloat16Bits, 65519, 0x7bff],
  [toFloat16Bits, 65520, 0x7c00],
  [toFloat16Bits, 2 ** -14, 0x0400],
  [toFloat16Bits, 2 ** -24, 0x0001],
  [toFloat16Bits, 2 ** -25, 0x0000],
  [toFloat16Bits, 1.5 * 2 ** -25, 0x0001],
  [toFloat16Bits, -0, 0x8000],
  [toBFloat16Bits, 1, 0x3f80],
  [toBFloat16Bits, 1 / 3, 0x3eab],
  [toBFloat16Bits, Math.PI, 0x4049],
  [toBFloat16Bits, 3.3895313892515355e38, 0x7f7f],
  [toBFloat16Bits, 3.4e38, 0x7f80],
  [toBFloat16Bits, -0, 0x8000],
] as const)("%o writes %d as known bits", (to, value, bits) => {
  expect(to(value)).toBe(bits);
});
