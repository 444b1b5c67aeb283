import { isFloating, promoteTypes, type DType } from "../../torch/dtype.js";
import { scalarLike } from "../leaf.js";
import { Tensor, type Shape, type TensorType } from "../tensor.js";

/** Shape of an operation on broadcast operands, or a TypeError that names both. */
export function broadcastShapes(...shapes: readonly Shape[]): Shape {
  const ndim = Math.max(...shapes.map((s) => s.length));
  const result = Array.from({ length: ndim }, () => 1);
  for (const shape of shapes) {
    shape.forEach((size, i) => {
      const at = ndim - shape.length + i;
      if (size === 1 || size === result[at]) return;
      if (result[at] !== 1) {
        throw new TypeError(
          `shapes ${shapes.map((s) => `[${s.join(", ")}]`).join(" and ")} do not broadcast`,
        );
      }
      result[at] = size;
    });
  }
  return result;
}

/**
 * The dtype of an operation as torch.result_type gives it: a 0-dimensional operand decides only if its kind (bool,
 * integer, float) is higher than that of the operands with dimensions.
 */
export function resultType(a: TensorType, b: TensorType): DType {
  if ((a.shape.length === 0) === (b.shape.length === 0)) return promoteTypes(a.dtype, b.dtype);
  const [scalar, full] = a.shape.length === 0 ? [a, b] : [b, a];
  const kind = (dtype: DType): number => (dtype === "bool" ? 0 : isFloating(dtype) ? 2 : 1);
  return kind(scalar.dtype) > kind(full.dtype) ? promoteTypes(scalar.dtype, full.dtype) : full.dtype;
}

/** A tensor or a number where an operation takes either. */
export type Operand = Tensor | number;

/** Makes a number beside a tensor a constant. */
export const asTensor = (value: Operand, like: TensorType): Tensor =>
  value instanceof Tensor ? value : scalarLike(value, like);
