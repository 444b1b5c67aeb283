/** @file The metrics of vectors in JavaScript memory. */
import { HostTensor } from "../../tensor/index.js";

/** Vectors [n, d]: one array each, or a tensor on the host. */
export type HostVectors = HostTensor | readonly ArrayLike<number>[];

/** @throws TypeError unless the vectors have one size. */
export function rowsOf(vectors: HostVectors, what: string): number[][] {
  if (vectors instanceof HostTensor) {
    const [n, d] = vectors.shape;
    if (vectors.shape.length !== 2 || n === undefined || d === undefined)
      throw new TypeError(`${what} must be [n, d], got [${vectors.shape.join(", ")}].`);
    const data = Array.from(vectors.data, Number);
    return Array.from({ length: n }, (_, i) => data.slice(i * d, (i + 1) * d));
  }
  const rows = vectors.map((row) => Array.from(row));
  if (rows.some((row) => row.length !== rows[0]!.length))
    throw new TypeError(`${what} must be vectors of one size.`);
  return rows;
}

export const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((total, value, i) => total + value * b[i]!, 0);

/** Zero for a vector of zeros. */
export function cosine(a: readonly number[], b: readonly number[]): number {
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  return lengths === 0 ? 0 : dot(a, b) / lengths;
}

/** The mean of vectors. */
export function centre(rows: readonly (readonly number[])[]): number[] {
  return rows[0]!.map((_, d) => rows.reduce((total, row) => total + row[d]!, 0) / rows.length);
}
