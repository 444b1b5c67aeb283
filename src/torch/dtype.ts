import { CraftError } from "../errors.js";

/** Element types, named as PyTorch names them. */
export const dtypes = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int64",
  "int32",
  "int8",
  "uint8",
  "bool",
] as const;

export type DType = (typeof dtypes)[number];

interface DTypeFacts {
  /** The value of c10::ScalarType, which the ABI passes as an int32. */
  readonly code: number;
  readonly bytes: number;
  readonly kind: "float" | "int" | "bool";
}

const facts: Record<DType, DTypeFacts> = {
  uint8: { code: 0, bytes: 1, kind: "int" },
  int8: { code: 1, bytes: 1, kind: "int" },
  int32: { code: 3, bytes: 4, kind: "int" },
  int64: { code: 4, bytes: 8, kind: "int" },
  float16: { code: 5, bytes: 2, kind: "float" },
  float32: { code: 6, bytes: 4, kind: "float" },
  float64: { code: 7, bytes: 8, kind: "float" },
  bool: { code: 11, bytes: 1, kind: "bool" },
  bfloat16: { code: 15, bytes: 2, kind: "float" },
};

export const dtypeCode = (dtype: DType): number => facts[dtype].code;
export const dtypeBytes = (dtype: DType): number => facts[dtype].bytes;
export const isFloating = (dtype: DType): boolean => facts[dtype].kind === "float";
export const isInteger = (dtype: DType): boolean => facts[dtype].kind === "int";

/** The dtype with the given c10::ScalarType value. */
export function dtypeFromCode(code: number): DType {
  const found = dtypes.find((dtype) => facts[dtype].code === code);
  if (found === undefined) {
    throw new CraftError({ subject: "dtype code", value: code, reason: `is none of ${dtypes.join(", ")}` });
  }
  return found;
}

/** Checks a dtype that came from a config file or a user. */
export function parseDType(value: unknown, subject: string): DType {
  const found = dtypes.find((dtype) => dtype === value);
  if (found === undefined) {
    throw new CraftError({
      subject,
      value,
      reason: "is not a dtype",
      remedy: `Use one of ${dtypes.join(", ")}.`,
    });
  }
  return found;
}

const rank: Record<DType, number> = {
  bool: 0,
  uint8: 1,
  int8: 1,
  int32: 2,
  int64: 3,
  float16: 4,
  bfloat16: 4,
  float32: 5,
  float64: 6,
};

/**
 * The dtype of an operation on two tensors that both have dimensions, as torch.promote_types gives it.
 * uint8 with int8 gives int32 here where PyTorch gives int16, which has no use in this library.
 */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  const ranks = [rank[a], rank[b]];
  if (ranks[0] === ranks[1]) return rank[a] === 4 ? "float32" : "int32";
  return rank[a] > rank[b] ? a : b;
}
