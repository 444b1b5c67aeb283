/** @file Matrices on the host, for initial values. */
import { cpu, type Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";

/** The elements of a float32 tensor on the host's side, for as long as it lives. */
export function elements(tensor: DeviceTensor): Float32Array {
  const bytes = tensor.bytes();
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** A matrix of elements by rows, on the host. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** The elements of a float32 tensor on the host's side as a matrix. */
export const asMatrix = (tensor: DeviceTensor): Matrix => ({
  rows: tensor.shape[0]!,
  columns: tensor.shape[1]!,
  data: elements(tensor),
});

/** A float32 tensor of the elements. The caller owns it. */
export const tensorOf = ({ rows, columns, data }: Matrix, device: Device = cpu): DeviceTensor =>
  DeviceTensor.fromHost(data, [rows, columns], "float32", device);

export function transposed({ rows, columns, data }: Matrix): Matrix {
  const result = new Float32Array(data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j]!;
  return { rows: columns, columns: rows, data: result };
}

/** a b, by float64 sums. */
export function product(a: Matrix, b: Matrix): Matrix {
  const data = new Float32Array(a.rows * b.columns);
  const row = new Float64Array(b.columns);
  for (let i = 0; i < a.rows; i++) {
    row.fill(0);
    for (let k = 0; k < a.columns; k++) {
      const factor = a.data[i * a.columns + k]!;
      if (factor === 0) continue;
      for (let j = 0; j < b.columns; j++) row[j]! += factor * b.data[k * b.columns + j]!;
    }
    data.set(row, i * b.columns);
  }
  return { rows: a.rows, columns: b.columns, data };
}
