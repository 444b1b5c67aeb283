/** @file Reading tensors that Python wrote, and comparing ours with them. */
import { expect } from "vitest";
import { openSafetensors } from "../../src/models/safetensors/index.js";
import { HostTensor } from "../../src/tensor/index.js";
import type { DeviceTensor } from "../../src/torch/device_tensor.js";

export interface Expected {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** All tensors of a safetensors file, on the host. libtorch must be loaded. */
export function readTensors(path: string): Map<string, Expected> {
  using file = openSafetensors(path);
  return new Map(
    [...file.tensors.keys()].map((name) => {
      using tensor = file.read(name);
      return [name, { shape: tensor.shape, values: tensor.toNumbers() }];
    }),
  );
}

export const hostTensor = ({ shape, values }: Expected): HostTensor =>
  new HostTensor(values, shape, "float32");

/** The entry of a map that must be there. */
export function need<T>(map: ReadonlyMap<string, T>, name: string): T {
  const found = map.get(name);
  if (found === undefined) throw new Error(`The fixture has no ${name}: run the script in parity/ again.`);
  return found;
}

/** Largest difference between two lists of numbers; infinite where one has a NaN and the other has not. */
export function largestDifference(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Infinity;
  return actual.reduce((worst, value, i) => {
    const difference = Object.is(value, expected[i]) ? 0 : Math.abs(value - expected[i]!);
    return Math.max(worst, Number.isNaN(difference) ? Infinity : difference);
  }, 0);
}

/** Checks shape and values: the largest difference is at most `tolerance` times the largest expected magnitude. */
export function expectClose(actual: DeviceTensor, expected: Expected, what: string, tolerance = 1e-5): void {
  expect(actual.shape, `shape of ${what}`).toEqual(expected.shape);
  const scale = expected.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const difference = largestDifference(actual.toNumbers(), expected.values);
  expect(difference, `largest difference in ${what}, whose values reach ${scale}`).toBeLessThanOrEqual(
    tolerance * scale + 1e-7,
  );
}
