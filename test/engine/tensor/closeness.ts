import { expect } from "vitest";
import type { DeviceTensor } from "../../../src/torch/device_tensor.js";
import type { DType } from "../../../src/torch/dtype.js";
import type { Stored } from "./fixture.js";

/** Allowed relative error; half precision rounds once or twice on either side. */
const relative: Readonly<Record<DType, number>> = {
  float64: 1e-12,
  float32: 1e-5,
  float16: 3e-3,
  bfloat16: 2e-2,
  int64: 0,
  int32: 0,
  int8: 0,
  uint8: 0,
  bool: 0,
};

export interface Tolerance {
  readonly relative: number;
  readonly absolute: number;
}

/** Tolerance for results that were computed in `dtype`. The absolute part is for sums that cancel. */
export const toleranceOf = (dtype: DType, override?: number): Tolerance => {
  const rate = override ?? relative[dtype];
  return { relative: rate, absolute: rate };
};

const differs = (found: number, expected: number, { relative, absolute }: Tolerance): boolean => {
  if (Number.isNaN(expected)) return !Number.isNaN(found);
  if (!Number.isFinite(expected)) return found !== expected;
  return !(Math.abs(found - expected) <= absolute + relative * Math.abs(expected));
};

/** Compares shape, dtype and every element, and shows both sides where they differ. */
export function expectClose(found: DeviceTensor, expected: Stored, tolerance: Tolerance, what: string): void {
  expect({ shape: [...found.shape], dtype: found.dtype }, what).toEqual({
    shape: [...expected.shape],
    dtype: expected.dtype,
  });
  const numbers = found.toNumbers();
  const wrong = numbers.flatMap((n, i) => (differs(n, expected.data[i]!, tolerance) ? [i] : []));
  const table = wrong.slice(0, 8).map((i) => `[${i}] ${numbers[i]} instead of ${expected.data[i]}`);
  expect(table, `${what}: ${wrong.length} of ${numbers.length} elements differ`).toEqual([]);
}
