/** @file Matrix products. Every product comes down to `mm` or `bmm`, which read transposed operands as they lie. */
import { apply, type Operation } from "../operation.js";
import { numel, sameShape, type Tensor, type TensorType } from "../tensor.js";
import { broadcastShapes } from "./broadcast.js";
import { add, mul } from "./elementwise.js";
import { expand, isTransposed, reshape, transpose } from "./shape.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

const sameDType = (a: TensorType, b: TensorType): void => {
  if (a.dtype !== b.dtype)
    throw new TypeError(`dtypes ${a.dtype} and ${b.dtype} differ; convert one with to()`);
};

const mmOperation = register({
  name: "mm",
  infer: ([a, b]) => {
    sameDType(a!, b!);
    if (a!.shape.length !== 2 || b!.shape.length !== 2 || a!.shape[1] !== b!.shape[0])
      throw new TypeError("inner sizes of the two matrices differ");
    return [{ shape: [a!.shape[0]!, b!.shape[1]!], dtype: a!.dtype }];
  },
  // d(AB) = dA B + A dB
  vjp: ({ inputs: [a, b], gradients: [g], needs }) => [
    needs[0] ? productLike(a!, g!, transpose(b!, 0, 1)) : undefined,
    needs[1] ? productLike(b!, transpose(a!, 0, 1), g!) : undefined,
  ],
  lower: ({ inputs: [a, b] }) => ({ kind: "aten", key: "mm", args: [a!, b!] }),
} satisfies Operation);

/** AB, in the memory order of `operand`: where that is a transpose, so is the result, and the gradient lies as the weight. */
const productLike = (operand: Tensor, a: Tensor, b: Tensor): Tensor =>
  isTransposed(operand) ? transpose(mm(transpose(b, 0, 1), transpose(a, 0, 1)), 0, 1) : mm(a, b);

const bmmOperation = register({
  name: "bmm",
  infer: ([a, b]) => {
    sameDType(a!, b!);
    const [x, y] = [a!.shape, b!.shape];
    if (x.length !== 3 || y.length !== 3 || x[0] !== y[0] || x[2] !== y[1])
      throw new TypeError("batches or inner sizes differ");
    return [{ shape: [x[0]!, x[1]!, y[2]!], dtype: a!.dtype }];
  },
  // d(AB) = dA B + A dB for each pair
  vjp: ({ inputs: [a, b], gradients: [g], needs }) => [
    needs[0] ? bmm(g!, transpose(b!, 1, 2)) : undefined,
    needs[1] ? bmm(transpose(a!, 1, 2), g!) : undefined,
  ],
  lower: ({ inputs: [a, b] }) => ({ kind: "aten", key: "bmm", args: [a!, b!] }),
} satisfies Operation);

const dotOperation = register({
  name: "dot",
  infer: ([a, b]) => {
    sameDType(a!, b!);
    if (a!.shape.length !== 1 || !sameShape(a!.shape, b!.shape))
      throw new TypeError("both must be vectors of one length");
    return [{ shape: [], dtype: a!.dtype }];
  },
  // d(a . b) = b . da + a . db
  vjp: ({ inputs: [a, b], gradients: [g], needs }) => [
    needs[0] ? mul(b!, g!) : undefined,
    needs[1] ? mul(a!, g!) : undefined,
  ],
  lower: ({ inputs: [a, b] }) => ({ kind: "aten", key: "dot", args: [a!, b!] }),
} satisfies Operation);

/** Inner product of two vectors. */
export const dot = (a: Tensor, b: Tensor): Tensor => apply(dotOperation, [a, b]);
/** Product of two matrices. */
export const mm = (a: Tensor, b: Tensor): Tensor => apply(mmOperation, [a, b]);
/** Products of two equally long rows of matrices. */
export const bmm = (a: Tensor, b: Tensor): Tensor => apply(bmmOperation, [a, b]);

/** Product as torch.matmul defines it: vectors, matrices, and batches of matrices whose leading dimensions broadcast. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (a.ndim === 0 || b.ndim === 0) throw new TypeError("matmul needs operands with dimensions");
  if (a.ndim === 1) {
    const y = matmul(reshape(a, [1, a.numel]), b.ndim === 1 ? reshape(b, [b.numel, 1]) : b);
    return reshape(y, b.ndim === 1 ? [] : [...y.shape.slice(0, -2), y.shape.at(-1)!]);
  }
  if (b.ndim === 1) {
    const y = matmul(a, reshape(b, [b.numel, 1]));
    return reshape(y, y.shape.slice(0, -1));
  }
  const inner = a.shape.at(-1)!;
  if (b.ndim === 2) {
    const y = mm(reshape(a, [numel(a.shape.slice(0, -1)), inner]), b);
    return reshape(y, [...a.shape.slice(0, -1), b.shape[1]!]);
  }
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const rows = (x: Tensor): Tensor => {
    const shape = x.shape.slice(-2);
    const wide = sameShape(x.shape.slice(0, -2), batch) ? x : expand(x, [...batch, ...shape]);
    return reshape(wide, [numel(batch), ...shape]);
  };
  const y = bmm(rows(a), rows(b));
  return reshape(y, [...batch, a.shape.at(-2)!, b.shape.at(-1)!]);
}

/** x W^T + b with W [out, in], as torch.nn.functional.linear. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const y = matmul(x, transpose(weight, 0, 1));
  return bias === undefined ? y : add(y, bias);
}
