/**
 * @file How a case of an operation is written: one line with inputs, the call and the same in PyTorch.
 *
 * `parity/ops.py` reads the table, evaluates the PyTorch expressions and writes the fixture. A case is found there by
 * its id, which holds inputs and expression: a case that was changed without running the script is not found.
 */
import type { DType } from "../../../../src/torch/dtype.js";
import type { Tensor } from "../../../../src/tensor/index.js";

/** What an input is filled with. `float` stands for the dtype that the case runs in. */
export interface InputSpec {
  readonly dtype: DType | "float";
  readonly shape: readonly number[];
  /** Uniform in [low, high]; integers in [low, high). */
  readonly low: number;
  readonly high: number;
  /** Smallest magnitude, for functions with a kink or pole at 0. */
  readonly gap: number;
  /** The elements themselves, in row-major order, in place of random ones. */
  readonly values?: readonly (number | string)[];
  /** Whether gradients towards it are compared; floats only. */
  readonly wanted: boolean;
}

const base = { low: -2, high: 2, gap: 0, wanted: true };

/** Floats in [-2, 2]. */
export const f = (...shape: readonly number[]): InputSpec => ({ ...base, dtype: "float", shape });
/** Floats in [low, high]. */
export const within = (low: number, high: number, ...shape: readonly number[]): InputSpec => ({
  ...f(...shape),
  low,
  high,
});
/** Floats in [0.3, 2.5]. */
export const positive = (...shape: readonly number[]): InputSpec => within(0.3, 2.5, ...shape);
/** Floats in [-2, 2] at least 0.3 away from 0. */
export const apart = (...shape: readonly number[]): InputSpec => ({ ...f(...shape), gap: 0.3 });
/** Floats given one by one; `"inf"`, `"-inf"` and `"nan"` are spelled out. */
export const exact = (values: readonly (number | string)[], ...shape: readonly number[]): InputSpec => ({
  ...f(...(shape.length === 0 ? [values.length] : shape)),
  values,
});
/** The same input without gradients towards it. */
export const frozen = (spec: InputSpec): InputSpec => ({ ...spec, wanted: false });
/** The same input in a dtype of its own. */
export const as = (dtype: DType, spec: InputSpec): InputSpec => ({ ...spec, dtype });
/** Integers in [low, high). */
export const int = (low: number, high: number, ...shape: readonly number[]): InputSpec => ({
  ...as("int64", frozen(within(low, high, ...shape))),
});
/** Integers given one by one. */
export const ints = (values: readonly number[], ...shape: readonly number[]): InputSpec =>
  as("int64", frozen(exact(values, ...shape)));
/** Random true and false. */
export const bool = (...shape: readonly number[]): InputSpec => as("bool", int(0, 2, ...shape));

export interface CaseOptions {
  /** Dtypes beside float32 and float64 that the case runs in. */
  readonly also?: readonly ("bfloat16" | "float16")[];
  /** The function is not smooth at the inputs: no finite differences. */
  readonly kink?: boolean;
  /** The gradient cannot be differentiated again. */
  readonly once?: boolean;
  /** The only dtypes that the case runs in. */
  readonly only?: readonly DType[];
  /** Allowed relative error by dtype, where the usual one is too strict. */
  readonly loose?: Readonly<Partial<Record<DType, number>>>;
}

export type Call = (...inputs: Tensor[]) => Tensor | readonly Tensor[];

export interface OpCase {
  readonly id: string;
  /** The public function that the case is for. */
  readonly fn: string;
  readonly inputs: readonly InputSpec[];
  readonly call: Call;
  /** The same in PyTorch, with inputs a, b, c and so on. */
  readonly python: string;
  readonly dtypes: readonly DType[];
  readonly options: CaseOptions;
}

const describeInput = ({ dtype, shape, low, high, gap, values, wanted }: InputSpec): string => {
  const range = values === undefined ? `${low}..${high}${gap === 0 ? "" : ` gap ${gap}`}` : values.join(" ");
  return `${dtype}[${shape.join(",")}] ${range}${wanted || dtype !== "float" ? "" : " frozen"}`;
};

/** One case. */
export function op(
  fn: string,
  inputs: readonly InputSpec[],
  call: Call,
  python: string,
  options: CaseOptions = {},
): OpCase {
  return {
    id: `${fn}: ${python} | ${inputs.map(describeInput).join("; ")}`,
    fn,
    inputs,
    call,
    python,
    dtypes: options.only ?? ["float32", "float64", ...(options.also ?? [])],
    options,
  };
}

export const half = { also: ["bfloat16", "float16"] } as const satisfies CaseOptions;
export const brain = { also: ["bfloat16"] } as const satisfies CaseOptions;
/** For cases without floats: the dtype that they run in does not matter. */
export const plain = { only: ["float32"] } as const satisfies CaseOptions;
