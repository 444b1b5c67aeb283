/** @file Products and decompositions of single matrices, outside of programs: for initial values. */
import { DeviceTensor } from "./device_tensor.js";
import type { Argument, OperatorKey } from "./dispatcher.js";
import { NativeArena } from "./native_memory.js";
import { torch } from "./torch.js";

type Shape = readonly number[];

/** Calls an operator on matrices; results are copied, since theirs may lie in memory by columns. */
function call(
  key: OperatorKey,
  matrices: readonly [DeviceTensor, ...DeviceTensor[]],
  rest: readonly Argument[],
  shapes: readonly Shape[],
): DeviceTensor[] {
  const { dispatcher, library } = torch();
  const inputs = matrices.map(({ handle }) => handle);
  const slots = Float64Array.from([...inputs, ...shapes.map(() => 0)]);
  const args = [...inputs.map((_, slot) => ({ slot, last: false })), ...rest];
  const outputs = shapes.map((_, i) => inputs.length + i);
  dispatcher.prepare(key, args, outputs, new NativeArena(1 << 10))(slots);
  const { dtype, device } = matrices[0];
  const results: DeviceTensor[] = [];
  try {
    for (const [i, shape] of shapes.entries()) {
      const result = DeviceTensor.empty(shape, dtype, device);
      results.push(result);
      dispatcher.check(library.copyInto(result.handle, slots[outputs[i]!]!, 0), key);
    }
    return results;
  } catch (error) {
    for (const result of results) result.dispose();
    throw error;
  } finally {
    for (const handle of slots.subarray(inputs.length)) library.deleteTensor(handle);
  }
}

/** The product [m, k] of a [m, n] and b [n, k], of one dtype. The caller owns it. */
export const matrixProduct = (a: DeviceTensor, b: DeviceTensor): DeviceTensor =>
  call("mm", [a, b], [], [[a.shape[0]!, b.shape[1]!]])[0]!;

/**
 * Singular value decomposition of a float32 or float64 matrix [m, n]: matrix = u diag(s) vh, with k = min(m, n),
 * u [m, k], s [k] in descending order, and vh [k, n]. The caller owns the results. As `torch.linalg.svd` with
 * `full_matrices=False`; the signs of the vectors are the library's choice.
 */
export function svd(matrix: DeviceTensor): { u: DeviceTensor; s: DeviceTensor; vh: DeviceTensor } {
  const [m, n] = matrix.shape as readonly [number, number];
  const k = Math.min(m, n);
  const [u, s, vh] = call("linalg_svd", [matrix], [false, null], [[m, k], [k], [k, n]]);
  return { u: u!, s: s!, vh: vh! };
}

/**
 * QR decomposition of a float32 or float64 matrix [m, n] = q r, with k = min(m, n), q [m, k] of orthonormal columns and
 * r [k, n] upper triangular. The caller owns the results. As `torch.linalg.qr`.
 */
export function qr(matrix: DeviceTensor): { q: DeviceTensor; r: DeviceTensor } {
  const [m, n] = matrix.shape as readonly [number, number];
  const k = Math.min(m, n);
  const [q, r] = call(
    "linalg_qr",
    [matrix],
    ["reduced"],
    [
      [m, k],
      [k, n],
    ],
  );
  return { q: q!, r: r! };
}
