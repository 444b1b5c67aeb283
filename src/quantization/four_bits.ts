/** @file Matrices in 4 bits an element, block by block, as bitsandbytes stores them. */
import type { TensorType } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";
import type { FourBitType } from "./code_books.js";

/** What a matrix in 4 bits is made of, beside its tensors. */
export interface FourBitFormat {
  readonly type: FourBitType;
  /** [out, in]; its elements are counted row by row. */
  readonly shape: readonly [number, number];
  /** So many elements in a row share a scale: their largest magnitude. */
  readonly blockSize: number;
  /** What the matrix was, and what it is turned back into. */
  readonly dtype: DType;
  /** Where the scales are in 8 bits: the size of their blocks, and what was taken off them before. */
  readonly nested?: { readonly blockSize: number; readonly offset: number } | undefined;
}

/** A matrix in 4 bits: element i is levels[code i] * scale[i / blockSize]. `T` is what holds the tensors. */
export interface FourBits<T extends TensorType = DeviceTensor> extends FourBitFormat {
  /** uint8 [ceil(out * in / 2), 1]: two codes a byte, the first in the upper half. */
  readonly packed: T;
  /** float32 [blocks]; with `nested` uint8 [blocks], indices into the map of 8-bit values. */
  readonly absmax: T;
  /** float32 [blocks of blocks], the scales of the scales. */
  readonly nestedAbsmax?: T | undefined;
}

/** Scales in 8 bits that share one, as bitsandbytes has it. */
export const nestedBlockSize = 256;

/** The sizes of the tensors of a matrix in 4 bits. */
export function fourBitSizes({ shape, blockSize, nested }: FourBitFormat): {
  readonly bytes: number;
  readonly blocks: number;
  readonly nestedBlocks: number;
} {
  const elements = shape[0] * shape[1];
  const blocks = Math.ceil(elements / blockSize);
  const nestedBlocks = nested === undefined ? 0 : Math.ceil(blocks / nested.blockSize);
  return { bytes: Math.ceil(elements / 2), blocks, nestedBlocks };
}

/** The tensors of a matrix in 4 bits, as shapes. */
export function fourBitShapes(format: FourBitFormat): FourBits<TensorType> {
  const { bytes, blocks, nestedBlocks } = fourBitSizes(format);
  const double = format.nested !== undefined;
  return {
    ...format,
    packed: { shape: [bytes, 1], dtype: "uint8" },
    absmax: { shape: [blocks], dtype: double ? "uint8" : "float32" },
    ...(double ? { nestedAbsmax: { shape: [nestedBlocks], dtype: "float32" } } : {}),
  };
}

/** What holds the tensors, in the order packed, absmax, nestedAbsmax. */
export const tensorsOf = <T extends TensorType>({ packed, absmax, nestedAbsmax }: FourBits<T>): T[] =>
  nestedAbsmax === undefined ? [packed, absmax] : [packed, absmax, nestedAbsmax];

/** The same matrix, its tensors held by something else. */
export const heldBy = <T extends TensorType, U extends TensorType>(
  { packed, absmax, nestedAbsmax, ...format }: FourBits<T>,
  hold: (tensor: T) => U,
): FourBits<U> => ({
  ...format,
  packed: hold(packed),
  absmax: hold(absmax),
  ...(nestedAbsmax === undefined ? {} : { nestedAbsmax: hold(nestedAbsmax) }),
});
