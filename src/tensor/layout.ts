/** @file Where the elements of a value lie, and where ATen puts those of a result. */
import type { Layout } from "./operation.js";
import type { Shape } from "./tensor.js";

export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= Math.max(1, shape[i]!);
  }
  return strides;
}

export const contiguousLayout = (shape: Shape): Layout => ({
  sizes: shape,
  strides: contiguousStrides(shape),
  offset: 0,
});

/** Whether the elements lie in row-major order without gaps. Dimensions of size 1 may have any stride. */
export function isContiguous({ sizes, strides }: Layout): boolean {
  let stride = 1;
  for (let i = sizes.length - 1; i >= 0; i--) {
    if (sizes[i] === 1) continue;
    if (strides[i] !== stride) return false;
    stride *= sizes[i]!;
  }
  return true;
}

export const sameLayout = (a: Layout, b: Layout): boolean =>
  a.offset === b.offset &&
  a.sizes.length === b.sizes.length &&
  a.sizes.every((n, i) => n === b.sizes[i] && (n === 1 || a.strides[i] === b.strides[i]));

/** Strides of an operand as seen from a broadcast result: 0 where it is repeated. */
function broadcastStrides({ sizes, strides }: Layout, shape: Shape): number[] {
  const lead = shape.length - sizes.length;
  return shape.map((n, i) => (i < lead || (sizes[i - lead] === 1 && n !== 1) ? 0 : strides[i - lead]!));
}

/**
 * Strides of the result of an element-wise operation, as TensorIterator chooses them
 * (TensorIteratorBase::reorder_dimensions): dense in the order of the operands' strides.
 */
export function iteratorLayout(operands: readonly Layout[], shape: Shape, bytes: readonly number[]): Layout {
  if (
    operands.every(
      (o) => isContiguous(o) && o.sizes.length === shape.length && o.sizes.every((n, i) => n === shape[i]),
    )
  ) {
    return contiguousLayout(shape);
  }
  const strides = operands.map((o, k) => broadcastStrides(o, shape).map((s) => s * bytes[k]!));
  const order = shape.map((_, i) => shape.length - 1 - i);
  const compare = (a: number, b: number): number => {
    for (const s of strides) {
      const [x, y] = [s[a]!, s[b]!];
      if (x === 0 || y === 0) continue;
      if (x !== y) return x < y ? -1 : 1;
      if (shape[a]! > shape[b]!) return 1;
    }
    return 0;
  };
  // Insertion sort with a comparison that may be undecided, step for step as in ATen.
  for (let i = 1; i < order.length; i++) {
    let at = i;
    for (let j = i - 1; j >= 0; j--) {
      const c = compare(order[j]!, order[at]!);
      if (c > 0) {
        [order[j], order[at]] = [order[at]!, order[j]!];
        at = j;
      } else if (c < 0) break;
    }
  }
  const result = new Array<number>(shape.length);
  let stride = 1;
  for (const dim of order) {
    result[dim] = stride;
    stride *= Math.max(1, shape[dim]!);
  }
  return { sizes: shape, strides: result, offset: 0 };
}
