/** @file The values that 4 and 8 bits stand for, as bitsandbytes has them, and which of them is nearest. */

export const fourBitTypes = ["nf4", "fp4"] as const;

/** `nf4`: quantiles of the normal distribution (Dettmers et al. 2023). `fp4`: sign, 2 bits exponent, 1 bit fraction. */
export type FourBitType = (typeof fourBitTypes)[number];

/** Levels of NF4 by their code, ascending. */
const nf4 = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** Magnitudes of FP4 by exponent and fraction; the bit before them is the sign. */
const fp4Magnitudes = [0, 0.0625, 8, 12, 4, 6, 2, 3];
const fp4 = Float32Array.from([...fp4Magnitudes, ...fp4Magnitudes.map((m) => 0 - m)], (m) => m / 12);

/** The level of each code. */
export const levels: Readonly<Record<FourBitType, Float32Array>> = { nf4, fp4 };

/**
 * Finds the code of the level next to a number x. Where `signed`, the magnitude is looked up, and negative numbers have 8
 * added to their code.
 *
 * A number above the bound of class k is in a higher class: half way between two levels is the lower one, or with FP4 that
 * nearer to 0. NaN is in class 0.
 */
export class Coder {
  readonly #bounds: Float64Array;
  readonly #codes: readonly number[];
  readonly #signed: boolean;
  /** By the upper half of a float32, the code of all numbers that have it; 255 where a bound is among them. */
  #byUpperHalf: Uint8Array | undefined;

  constructor(bounds: readonly number[], codes: readonly number[], signed: boolean) {
    this.#bounds = Float64Array.of(...bounds.map(Math.fround), Infinity);
    this.#codes = codes;
    this.#signed = signed;
  }

  of(x: number): number {
    const size = this.#signed ? Math.abs(x) : x;
    let k = 0;
    while (size > this.#bounds[k]!) k++;
    return this.#codes[k]! + (this.#signed && x < 0 ? 8 : 0);
  }

  /** Writes two codes a byte, the first in the upper half, of an even number of values in [-1, 1]. */
  pack(values: Float32Array, count: number, into: Uint8Array, at: number): void {
    const halves = new Uint16Array(values.buffer, values.byteOffset, 2 * count);
    const table = (this.#byUpperHalf ??= this.#table());
    for (let i = 0; i < count; i += 2) {
      let upper = table[halves[2 * i + 1]!]!;
      let lower = table[halves[2 * i + 3]!]!;
      if (upper === 255) upper = this.of(values[i]!);
      if (lower === 255) lower = this.of(values[i + 1]!);
      into[at + (i >> 1)] = upper * 16 + lower;
    }
  }

  #table(): Uint8Array {
    const bits = new Uint32Array(1);
    const cell = new Float32Array(bits.buffer);
    const codeWith = (upper: number, lower: number): number => {
      bits[0] = upper * 2 ** 16 + lower;
      return this.of(cell[0]!);
    };
    return Uint8Array.from({ length: 2 ** 16 }, (_, upper) => {
      const code = codeWith(upper, 0);
      return code === codeWith(upper, 0xffff) ? code : 255;
    });
  }
}

export const coders: Readonly<Record<FourBitType, Coder>> = {
  nf4: new Coder(
    Array.from({ length: 15 }, (_, i) => (nf4[i]! + nf4[i + 1]!) / 2),
    Array.from(nf4.keys()),
    false,
  ),
  // As spelt in bitsandbytes' kernel, where not all are exact midpoints.
  fp4: new Coder(
    [0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333],
    [0, 1, 6, 7, 4, 5, 2, 3],
    true,
  ),
};

/**
 * The values of 8 bits, ascending: dynamic exponents with linear fractions (Dettmers 2015). The operations are those of
 * PyTorch in float32 to the last bit: torch.linspace fuses multiplication and addition.
 */
export const dynamicMap: Float32Array = (() => {
  const { fround } = Math;
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const last = 2 ** i;
    const low = fround(0.1);
    const step = fround(fround(1 - low) / last);
    const bounds = Array.from({ length: last + 1 }, (_, k) =>
      fround(k < Math.floor((last + 1) / 2) ? low + step * k : 1 - step * (last - k)),
    );
    for (let k = 0; k < last; k++) {
      const middle = fround(fround(bounds[k]! + bounds[k + 1]!) / 2);
      const value = fround(fround(10 ** (i - 6)) * middle);
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
})();

/** The index in {@link dynamicMap} of the value next to x in [-1, 1]; half way between two, the lower one. */
export function dynamicIndexOf(x: number): number {
  let low = 0;
  let high = dynamicMap.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (dynamicMap[middle]! < x) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return 0;
  const below = Math.fround(Math.abs(x - dynamicMap[low - 1]!));
  return below <= Math.fround(Math.abs(x - dynamicMap[low]!)) ? low - 1 : low;
}
