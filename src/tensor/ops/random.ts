/**
 * @file Random numbers as a pure function of a key and a place.
 *
 * ATen's generators cannot be seeded through the stable ABI, and a run that is resumed, or a forward pass that is
 * done twice, must see the same numbers. So each element hashes its index, the key that is fed, and the place of the
 * operation in the program. The mixing function is the 32-bit finaliser with constants found by C. Wellons' search
 * ("lowbias32"), applied twice with the key in between.
 */
import { arange, constant, zeros } from "../leaf.js";
import { numel, type Shape, type Tensor } from "../tensor.js";
import {
  add,
  bitwiseAnd,
  bitwiseRightShift,
  bitwiseXor,
  cast,
  cos,
  ge,
  log,
  mul,
  sqrt,
  where,
} from "./elementwise.js";
import { reshape, slice } from "./shape.js";

/** Shifts without dragging the sign along. */
const shiftRight = (x: Tensor, bits: number): Tensor =>
  bitwiseAnd(bitwiseRightShift(x, bits), 2 ** (32 - bits) - 1);

function mix(x: Tensor): Tensor {
  let y = bitwiseXor(x, shiftRight(x, 16));
  y = mul(y, 0x7feb352d);
  y = bitwiseXor(y, shiftRight(y, 15));
  y = mul(y, 0x846ca68b | 0);
  return bitwiseXor(y, shiftRight(y, 16));
}

/**
 * 32 random bits for each element, as int32 [n]. Without the first hash, keys that differ in a few low bits would give
 * one another's numbers in another order; multiples of the golden ratio keep the places of one program apart.
 */
function randomBits(count: number, key: Tensor, place: number, start?: Tensor): Tensor {
  const counted = arange(0, count, "int32");
  const index = start === undefined ? counted : add(counted, start);
  const first = reshape(slice(key, 0, 0, 1), []);
  const second = reshape(slice(key, 0, 1, 2), []);
  const spread = Math.imul(place + 1, 0x9e3779b9) | 0;
  return mix(bitwiseXor(mix(bitwiseXor(index, bitwiseXor(mix(first), spread))), second));
}

/**
 * Uniform numbers in [0, 1), multiples of 2^-24, float32.
 *
 * @param key int32 [2], fed anew for each step: equal keys give equal numbers
 * @param place tells operations of one program apart
 * @param start int32 [], the index of the first element, where the tensor is a part of a larger one; 0 by default
 */
export function uniform(shape: Shape, key: Tensor, place: number, start?: Tensor): Tensor {
  const bits = shiftRight(randomBits(numel(shape), key, place, start), 8);
  return reshape(mul(cast(bits, "float32"), 2 ** -24), shape);
}

/** Numbers from the standard normal distribution by the Box-Muller transform, float32. */
export function normal(shape: Shape, key: Tensor, place: number): Tensor {
  const pairs = uniform([2, numel(shape)], key, place);
  // 1 - u lies in (0, 1], where the logarithm is finite.
  const radius = sqrt(mul(log(add(mul(slice(pairs, 0, 0, 1), -1), 1)), -2));
  return reshape(mul(radius, cos(mul(slice(pairs, 0, 1, 2), 2 * Math.PI))), shape);
}

/** Rows of a larger batch that a program works on. */
export interface RandomRows {
  /** The first one's place in the batch, int32 []. */
  readonly first: Tensor;
  readonly count: number;
}

interface RandomScope {
  readonly key: Tensor;
  /** Whether {@link dropout} does nothing. */
  readonly keepsAll?: boolean;
  place: number;
  rows?: RandomRows | undefined;
  /** Whether any number was drawn. */
  used?: boolean;
}

let current: RandomScope | undefined;

/**
 * Traces `body` with randomness switched on: {@link dropout} draws from `key` there and does nothing elsewhere.
 * Places are numbered in order of use, so that the same model code draws the same numbers for the same key.
 */
export function withRandomKey<T>(key: Tensor, body: () => T): T {
  const outer = current;
  current = { key, place: 0 };
  try {
    return body();
  } finally {
    current = outer;
  }
}

/**
 * Inside {@link withRandomKey}: traces `body`, in which {@link dropout} is for a part of a batch and draws what it would
 * draw for those rows in the whole batch. Tensors have the rows in their first dimension, each in equally many elements.
 */
export const withRandomRows = <T>(rows: RandomRows, body: () => T): T => changed({ rows }, body);

/** Inside {@link withRandomKey}: traces `body` with places from `place` on, and leaves the count outside as it was. */
export const withRandomPlaces = <T>(place: number, body: () => T): T => changed({ place }, body);

/** Inside {@link withRandomKey}: traces `body` as it is outside, with nothing random in it. */
export const withoutRandomness = <T>(body: () => T): T => replaced(undefined, body);

/** Inside {@link withRandomKey}: traces `body` with {@link dropout} doing nothing. Other noise stays. */
export const withoutDropout = <T>(body: () => T): T =>
  replaced(current && { ...current, keepsAll: true }, body);

function replaced<T>(scope: RandomScope | undefined, body: () => T): T {
  const outer = current;
  current = scope;
  try {
    return body();
  } finally {
    // Places that were used inside are not used again behind.
    if (outer !== undefined && scope !== undefined) {
      outer.place = scope.place;
      outer.used = outer.used === true || scope.used === true;
    }
    current = outer;
  }
}

function changed<T>(change: Partial<Pick<RandomScope, "place" | "rows">>, body: () => T): T {
  const scope = current;
  if (scope === undefined) return body();
  const { place, rows } = scope;
  Object.assign(scope, change);
  try {
    return body();
  } finally {
    if (change.place === undefined) scope.rows = rows;
    else scope.place = place;
  }
}

/** The key and a place of its own inside {@link withRandomKey}; undefined outside, where nothing is random. */
export const nextRandomPlace = (): Readonly<RandomScope> | undefined => {
  if (current === undefined) return undefined;
  current.used = true;
  const { key, rows } = current;
  return { key, rows, place: current.place++ };
};

/** Whether `body` draws random numbers when it is traced inside {@link withRandomKey}. */
export function drawsRandomNumbers(body: () => unknown): boolean {
  return withRandomKey(zeros([2], "int32"), () => {
    body();
    return current?.used === true;
  });
}

/** Zeroes each element with probability `rate` and scales the others by 1 / (1 - rate) (Srivastava et al. 2014). */
export function dropout(x: Tensor, rate: number): Tensor {
  if (!(rate >= 0 && rate < 1))
    throw new RangeError(`dropout rate = ${rate}: must be at least 0 and below 1.`);
  const random = rate === 0 || current?.keepsAll === true ? undefined : nextRandomPlace();
  if (random === undefined) return x;
  const { key, place, rows } = random;
  const size = x.numel / (rows?.count ?? 1);
  if (!Number.isInteger(size))
    throw new TypeError(`dropout: [${x.shape.join(", ")}] is not made of ${rows?.count} rows.`);
  const start = rows && mul(rows.first, size);
  const keep = ge(uniform(x.shape, key, place, start), rate);
  return where(keep, mul(x, 1 / (1 - rate)), constant(0, x.dtype));
}
