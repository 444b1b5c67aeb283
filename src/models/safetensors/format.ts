/** @file The safetensors format: 8 bytes header length, a JSON header, then the bytes of all tensors without gaps. */
import { dtypeBytes, dtypes, type DType } from "../../torch/dtype.js";

/** Where a tensor lies in a file. */
export interface TensorEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Position of its first byte in the file. */
  readonly begin: number;
  /** Position after its last byte. */
  readonly end: number;
}

export const lengthBytes = 8;
/** Longest header that Python's library reads. */
export const maxHeaderBytes = 100_000_000;
export const metadataKey = "__metadata__";

const names: Readonly<Record<DType, string>> = {
  float32: "F32",
  float64: "F64",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};

export const formatName = (dtype: DType): string => names[dtype];
export const formatNames = dtypes.map(formatName);
export const dtypeOfName = (name: unknown): DType | undefined =>
  dtypes.find((dtype) => names[dtype] === name);

/** Types that the format has and this library does not: 8-bit and smaller floats, unsigned and complex numbers. */
export const isForeignName = (name: string): boolean => /^(F8|F6|F4|U(16|32|64)|I16|C64)/.test(name);

// Python's library writes wide elements first, so that each tensor starts where its elements are aligned.
const writingOrder: readonly DType[] = [
  "int64",
  "float64",
  "float32",
  "int32",
  "bfloat16",
  "float16",
  "int8",
  "uint8",
  "bool",
];
export const writingRank = (dtype: DType): number => writingOrder.indexOf(dtype);

export const byteLength = (dtype: DType, shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, dtypeBytes(dtype));
