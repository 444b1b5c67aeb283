/** @file Counter-based randomness: every draw is a pure function of a seed, a stream and a place in that stream. */
import { CraftError } from "./errors.js";

/** Names a stream of numbers within a seed: an epoch, a step, the name of a use. */
export type StreamKey = number | string;

/** Everything that the next draw of a {@link Random} depends on. Plain JSON. */
export interface RandomState {
  readonly seed: number;
  readonly key: readonly StreamKey[];
  /** How many 32-bit words have been drawn. */
  readonly counter: number;
}

type Words2 = readonly [number, number];
type Words4 = readonly [number, number, number, number];

const two32 = 0x1_0000_0000;

/**
 * Philox4x32 with ten rounds: a bijection of 128-bit counters, chosen by a 64-bit key.
 * Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC11).
 *
 * @param counter - four unsigned 32-bit words.
 * @param key - two unsigned 32-bit words.
 * @returns four unsigned 32-bit words.
 */
export function philox4x32(counter: Words4, key: Words2): [number, number, number, number] {
  const block = new Uint32Array(4);
  fillBlock(block, ...counter, ...key);
  return [block[0]!, block[1]!, block[2]!, block[3]!];
}

/** {@link philox4x32} into memory that is there already: long streams would make millions of short-lived arrays. */
function fillBlock(
  block: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  block[0] = c0;
  block[1] = c1;
  block[2] = c2;
  block[3] = c3;
}

/** The upper 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const low = Math.imul(a0, b0) >>> 0;
  const middle1 = Math.imul(a0, b1) >>> 0;
  const middle2 = Math.imul(a1, b0) >>> 0;
  const carry = ((low >>> 16) + (middle1 & 0xffff) + (middle2 & 0xffff)) >>> 16;
  return (Math.imul(a1, b1) >>> 0) + (middle1 >>> 16) + (middle2 >>> 16) + carry;
}

/**
 * A stream of random numbers: words `w0, w1, …` where block i, words 4i to 4i+3, is {@link philox4x32} of counter i
 * under a 64-bit key that is made from the seed and the stream keys. Two streams of the same seed are independent,
 * and a stream continues from any saved place without replaying what came before.
 *
 * @example
 * const order = new Random(42, "order", epoch).permutation(rows);
 */
export class Random {
  readonly seed: number;
  readonly key: readonly StreamKey[];
  private readonly words: Words2;
  private counter = 0;
  private readonly block = new Uint32Array(4);
  private blockIndex = -1;

  /**
   * @param seed - integer from 0 to 2^53 - 1.
   * @param key - integers from 0 to 2^53 - 1, or strings; their order matters, and 1 differs from "1".
   */
  constructor(seed: number, ...key: StreamKey[]) {
    this.seed = requireInteger("seed", seed);
    this.key = key;
    this.words = key.reduce<Words2>(absorb, [seed >>> 0, Math.floor(seed / two32)]);
  }

  /** The stream that {@link Random.state} came from, at the same place. */
  static fromState(state: RandomState): Random {
    const random = new Random(state.seed, ...state.key);
    random.counter = requireInteger("counter", state.counter);
    return random;
  }

  state(): RandomState {
    return { seed: this.seed, key: [...this.key], counter: this.counter };
  }

  /** An independent stream below this one, from its beginning; this one does not move. */
  stream(...key: StreamKey[]): Random {
    return new Random(this.seed, ...this.key, ...key);
  }

  /** An unsigned 32-bit integer. */
  word(): number {
    const index = Math.floor(this.counter / 4);
    if (index !== this.blockIndex) {
      const [k0, k1] = this.words;
      fillBlock(this.block, index >>> 0, Math.floor(index / two32), 0, 0, k0, k1);
      this.blockIndex = index;
    }
    const word = this.block[this.counter % 4];
    this.counter += 1;
    return word!;
  }

  /** A float64 in [0, 1), a multiple of 2^-53. Takes two words. */
  uniform(): number {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000;
  }

  /**
   * An integer in [0, n), each equally likely.
   *
   * @param n - integer from 1 to 2^32.
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > two32) {
      throw new CraftError({ subject: "n", value: n, reason: "must be an integer from 1 to 2^32" });
    }
    const end = two32 - (two32 % n);
    let word = this.word();
    while (word >= end) word = this.word();
    return word % n;
  }

  /** The numbers 0 to n - 1 in random order (Fisher and Yates), each order equally likely. */
  permutation(n: number): Uint32Array {
    const order = new Uint32Array(requireInteger("n", n));
    for (let i = 0; i < n; i++) order[i] = i;
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const moved = order[i]!;
      order[i] = order[j]!;
      order[j] = moved;
    }
    return order;
  }

  /** A draw from the normal distribution of mean 0 and variance 1 (Box and Muller). Takes four words. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}

/** Mixes one stream key into a key: numbers in one block, strings in one block for each eight bytes of UTF-8. */
function absorb(words: Words2, key: StreamKey): Words2 {
  if (typeof key === "number") {
    requireInteger("stream key", key);
    const [a, b] = philox4x32([key >>> 0, Math.floor(key / two32), 0, 1], words);
    return [a, b];
  }
  const bytes = new TextEncoder().encode(key);
  const view = new DataView(new ArrayBuffer(Math.max(1, Math.ceil(bytes.length / 8)) * 8));
  new Uint8Array(view.buffer).set(bytes);
  let mixed = words;
  for (let at = 0; at < view.byteLength; at += 8) {
    const chunk: Words4 = [view.getUint32(at, true), view.getUint32(at + 4, true), bytes.length, 2];
    const [a, b] = philox4x32(chunk, mixed);
    mixed = [a, b];
  }
  return mixed;
}

function requireInteger(subject: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new CraftError({ subject, value, reason: "must be an integer from 0 to 2^53 - 1" });
}
