/** @file Ways to feed the same numbers so that the operation under test sees another memory layout. */
import { numel, type Tensor } from "../../../src/tensor/index.js";
import { HostTensor } from "../../../src/tensor/index.js";
import type { DType } from "../../../src/torch/dtype.js";
import type { Stored } from "./fixture.js";

export interface Arrangement {
  /** What is fed. */
  host(stored: Stored, dtype: DType): HostTensor;
  /** Makes the logical tensor from what is fed. */
  view(fed: Tensor): Tensor;
  /** Whether inputs of this shape look different at all. */
  applies(shape: readonly number[]): boolean;
}

const transposed = ({ shape, data }: Stored): number[] => {
  const reversed = [...shape].reverse();
  return Array.from({ length: numel(shape) }, (_, flat) => {
    let rest = flat;
    const index = [...reversed].reverse().map((n) => {
      const i = rest % n;
      rest = Math.floor(rest / n);
      return i;
    });
    return data[index.reduce((at, i, d) => at * shape[d]! + i, 0)]!;
  });
};

export const arrangements = {
  plain: {
    host: ({ data, shape }, dtype) => new HostTensor(data, shape, dtype),
    view: (fed) => fed,
    applies: () => true,
  },
  /** Column-major memory, seen through a permutation. */
  permuted: {
    host: (stored, dtype) => new HostTensor(transposed(stored), [...stored.shape].reverse(), dtype),
    view: (fed) => fed.permute(fed.shape.map((_, i) => fed.ndim - 1 - i)),
    applies: (shape) => shape.length > 1,
  },
  /** Every second element of a longer last dimension; the gaps hold NaN. */
  sliced: {
    host: ({ data, shape }, dtype) => {
      const [rows, last] = [shape.slice(0, -1), shape.at(-1)!];
      const width = 2 * last + 1;
      const wide = new Array<number>(numel(rows) * width).fill(dtype.includes("float") ? NaN : 0);
      data.forEach((value, i) => (wide[Math.floor(i / last) * width + 2 * (i % last) + 1] = value));
      return new HostTensor(wide, [...rows, width], dtype);
    },
    view: (fed) => fed.slice(-1, 1, fed.shape.at(-1), 2),
    applies: (shape) => shape.length > 0,
  },
} as const satisfies Record<string, Arrangement>;

export type ArrangementName = keyof typeof arrangements;
