/** @file Operations that take or put elements by index. Indices are int64. */
import { apply, requireDType, type Operation } from "../operation.js";
import { zeros } from "../leaf.js";
import { normalizeDim, sameShape, type Tensor, type TensorType } from "../tensor.js";
import { cast } from "./elementwise.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

/** Refuses an index that is longer than the input outside the dimension that it picks from. */
function requireInside(index: TensorType, x: TensorType, dim: number): void {
  if (index.shape.length !== x.shape.length || index.shape.some((n, i) => i !== dim && n > x.shape[i]!))
    throw new TypeError(`index must have the input's dimensions and no larger sizes, ${dim} aside`);
}

const embeddingOperation = register({
  name: "embedding",
  infer: ([weight, ids]) => {
    requireDType(ids!, ["int64", "int32"], "ids");
    if (weight!.shape.length !== 2) throw new TypeError("the table must be a matrix");
    return [{ shape: [...ids!.shape, weight!.shape[1]!], dtype: weight!.dtype }];
  },
  // Rows add up their gradients wherever they were taken.
  vjp: ({ inputs: [weight, ids], gradients: [g] }) => [
    apply(embeddingBackward, [g!, ids!], { rows: weight!.shape[0] }),
  ],
  lower: ({ inputs: [weight, ids] }) => ({
    kind: "aten",
    key: "embedding",
    args: [weight!, ids!, -1, false, false],
  }),
  layout: "strict",
} satisfies Operation);

const embeddingBackward = register({
  name: "embedding_dense_backward",
  infer: ([g], { rows }) => [{ shape: [Number(rows), g!.shape.at(-1)!], dtype: g!.dtype }],
  vjp: ({ inputs: [, ids], gradients: [g] }) => [embedding(g!, ids!)],
  lower: ({ inputs: [g, ids], attributes: { rows } }) => ({
    kind: "aten",
    key: "embedding_dense_backward",
    args: [g!, ids!, Number(rows), -1, false],
  }),
  layout: "strict",
} satisfies Operation);

/** Rows of a table [n, d] by ids [...]: [..., d]. */
export const embedding = (weight: Tensor, ids: Tensor): Tensor => apply(embeddingOperation, [weight, ids]);

const gatherOperation = register({
  name: "gather",
  infer: ([x, index], { dim }) => {
    requireDType(index!, ["int64"], "index");
    requireInside(index!, x!, Number(dim));
    return [{ shape: index!.shape, dtype: x!.dtype }];
  },
  vjp: ({ inputs: [x, index], gradients: [g], attributes }) => [
    scatterAdd(zeros(x!.shape, g!.dtype), Number(attributes["dim"]), index!, g!),
  ],
  lower: ({ inputs: [x, index], attributes }) => ({
    kind: "aten",
    key: "gather",
    args: [x!, Number(attributes["dim"]), index!, false],
  }),
  layout: "strict",
} satisfies Operation);

/** y[i][j] = x[index[i][j]][j] for dim 0, and so on. */
export const gather = (x: Tensor, dim: number, index: Tensor): Tensor =>
  apply(gatherOperation, [x, index], { dim: normalizeDim(dim, x.ndim) });

const scatterAddOperation = register({
  name: "scatter_add",
  infer: ([x, index, source], { dim }) => {
    requireDType(index!, ["int64"], "index");
    requireInside(index!, x!, Number(dim));
    if (!sameShape(index!.shape, source!.shape)) throw new TypeError("index and source differ in shape");
    if (source!.dtype !== x!.dtype) throw new TypeError(`source must be ${x!.dtype}, got ${source!.dtype}`);
    return [{ shape: x!.shape, dtype: x!.dtype }];
  },
  vjp: ({ inputs: [, index], gradients: [g], attributes }) => [
    g,
    undefined,
    gather(g!, Number(attributes["dim"]), index!),
  ],
  lower: ({ inputs: [x, index, source], attributes }) => ({
    kind: "aten",
    key: "scatter_add",
    args: [x!, Number(attributes["dim"]), index!, source!],
  }),
  layout: "strict",
} satisfies Operation);

/** x with source[i][j] added at [index[i][j]][j] for dim 0, and so on. */
export const scatterAdd = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  apply(scatterAddOperation, [x, index, source], { dim: normalizeDim(dim, x.ndim) });

const indexSelectOperation = register({
  name: "index_select",
  infer: ([x, index], { dim }) => {
    requireDType(index!, ["int64", "int32"], "index");
    if (index!.shape.length !== 1) throw new TypeError("index must have one dimension");
    return [{ shape: x!.shape.map((n, i) => (i === dim ? index!.shape[0]! : n)), dtype: x!.dtype }];
  },
  vjp: ({ inputs: [x, index], gradients: [g], attributes }) => {
    const dim = Number(attributes["dim"]);
    if (dim === 0 && x!.ndim === 2) return [apply(embeddingBackward, [g!, index!], { rows: x!.shape[0] })];
    const wide = index!.reshape(x!.shape.map((_, i) => (i === dim ? -1 : 1))).expand(g!.shape);
    return [scatterAdd(zeros(x!.shape, g!.dtype), dim, cast(wide, "int64"), g!)];
  },
  lower: ({ inputs: [x, index], attributes }) => ({
    kind: "aten",
    key: "index_select",
    args: [x!, Number(attributes["dim"]), index!],
  }),
  layout: "strict",
} satisfies Operation);

/** The elements of a dimension that a one-dimensional index names, in its order. */
export const indexSelect = (x: Tensor, dim: number, index: Tensor): Tensor =>
  apply(indexSelectOperation, [x, index], { dim: normalizeDim(dim, x.ndim) });

const indexCopyOperation = register({
  name: "index_copy",
  infer: ([x, index, source], { dim }) => {
    requireDType(index!, ["int64"], "index");
    const expected = x!.shape.map((n, i) => (i === dim ? index!.shape[0]! : n));
    if (!sameShape(expected, source!.shape)) throw new TypeError(`source must be [${expected.join(", ")}]`);
    if (source!.dtype !== x!.dtype) throw new TypeError(`source must be ${x!.dtype}, got ${source!.dtype}`);
    return [{ shape: x!.shape, dtype: x!.dtype }];
  },
  vjp: ({ inputs: [, index, source], gradients: [g], attributes }) => {
    const dim = Number(attributes["dim"]);
    return [
      indexCopy(g!, dim, index!, zeros(source!.shape, g!.dtype)),
      undefined,
      indexSelect(g!, dim, index!),
    ];
  },
  lower: ({ inputs: [x, index, source], attributes }) => ({
    kind: "aten",
    key: "index_copy",
    args: [x!, Number(attributes["dim"]), index!, source!],
  }),
  layout: "strict",
  inPlace: { key: "index_copy_", input: 0 },
} satisfies Operation);

/** x with the elements of a dimension that the index names replaced by those of `source`. The index names none twice. */
export const indexCopy = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  apply(indexCopyOperation, [x, index, source], { dim: normalizeDim(dim, x.ndim) });
