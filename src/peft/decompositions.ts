/** @file Factors that are a part of a weight: PiSSA (Meng et al. 2024) and OLoRA (Büyükakyüz 2024). */
import type { Random } from "../random.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { matrixProduct, qr, svd } from "../torch/linalg.js";
import { asMatrix, elements, tensorOf, transposed, type Matrix } from "./matrix.js";

/** A [r, in] and B [out, r]. */
export interface Factors {
  readonly a: Matrix;
  readonly b: Matrix;
}

/** The first r columns of a matrix. */
function firstColumns({ rows, columns, data }: Matrix, r: number): Matrix {
  const result = new Float32Array(rows * r);
  for (let i = 0; i < rows; i++) result.set(data.subarray(i * columns, i * columns + r), i * r);
  return { rows, columns: r, data: result };
}

/** A copy of the first r rows of a matrix. */
const firstRows = ({ columns, data }: Matrix, r: number): Matrix => ({
  rows: r,
  columns,
  data: data.slice(0, r * columns),
});

/** W = Q R: B are the first r columns of Q, and A the first r rows of R. */
export function orthonormalFactors(weight: DeviceTensor, r: number): Factors {
  const parts = qr(weight);
  using q = parts.q;
  using upper = parts.r;
  return { a: firstRows(asMatrix(upper), r), b: firstColumns(asMatrix(q), r) };
}

/** W = U S V^T: scale B A is the part of the r largest singular values, its roots shared evenly by both. */
export function principalFactors(weight: DeviceTensor, r: number, scale: number): Factors {
  const parts = svd(weight);
  using u = parts.u;
  using s = parts.s;
  using vh = parts.vh;
  return shared(firstColumns(asMatrix(u), r), elements(s), firstRows(asMatrix(vh), r), scale);
}

/** W = U S V^T: B A is the part of the r largest singular values, which go to B. */
export function largestFactors(weight: DeviceTensor, r: number): Factors {
  const parts = svd(weight);
  using u = parts.u;
  using s = parts.s;
  using vh = parts.vh;
  const values = elements(s);
  const left = firstColumns(asMatrix(u), r);
  return {
    a: firstRows(asMatrix(vh), r),
    b: { ...left, data: left.data.map((x, i) => x * values[i % r]!) },
  };
}

/** {@link principalFactors} by subspace iteration from a random start (Halko et al. 2011), as torch.svd_lowrank. */
export function iteratedFactors(
  weight: DeviceTensor,
  { r, scale, iterations }: { readonly r: number; readonly scale: number; readonly iterations: number },
  random: Random,
): Factors {
  const { columns } = asMatrix(weight);
  const start = {
    rows: columns,
    columns: r,
    data: Float32Array.from({ length: columns * r }, () => random.normal()),
  };
  let basis = orthonormal(times(weight, start));
  for (let i = 0; i < iterations; i++)
    basis = orthonormal(times(weight, orthonormal(against(weight, basis))));
  // B = Q^T W is small; its decomposition gives that of Q B.
  using small = tensorOf(transposed(against(weight, basis)));
  const parts = svd(small);
  using u = parts.u;
  using s = parts.s;
  using vh = parts.vh;
  using q = tensorOf(basis);
  using left = matrixProduct(q, u);
  return shared(asMatrix(left), elements(s), firstRows(asMatrix(vh), r), scale);
}

function shared(left: Matrix, values: Float32Array, right: Matrix, scale: number): Factors {
  const r = right.rows;
  const roots = Float64Array.from({ length: r }, (_, i) => Math.sqrt(values[i]! / scale));
  return {
    a: { ...right, data: right.data.map((x, i) => x * roots[Math.floor(i / right.columns)]!) },
    b: { ...left, data: left.data.map((x, i) => x * roots[i % r]!) },
  };
}

/** W M, a copy. */
function times(weight: DeviceTensor, matrix: Matrix): Matrix {
  using right = tensorOf(matrix);
  using result = matrixProduct(weight, right);
  return copy(asMatrix(result));
}

/** W^T M, a copy. */
function against(weight: DeviceTensor, matrix: Matrix): Matrix {
  using left = tensorOf(transposed(matrix));
  using result = matrixProduct(left, weight);
  return transposed(asMatrix(result));
}

/** Orthonormal columns that span those of a matrix, which has no fewer rows. */
function orthonormal(matrix: Matrix): Matrix {
  using tensor = tensorOf(matrix);
  const parts = qr(tensor);
  using q = parts.q;
  parts.r.dispose();
  return copy(asMatrix(q));
}

const copy = (matrix: Matrix): Matrix => ({ ...matrix, data: matrix.data.slice() });
