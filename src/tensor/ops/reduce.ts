/** @file Operations that fold dimensions away. `dims` left out means all of them. */
import { isFloating } from "../../torch/dtype.js";
import { apply, applyAll, requireFloat, type Operation } from "../operation.js";
import { normalizeDim, numel, sameShape, type Shape, type Tensor, type TensorType } from "../tensor.js";
import { add, cast, div, eq, exp, mul, sqrt, sub } from "./elementwise.js";
import { expand, reshape, flip } from "./shape.js";
import { zeros } from "../leaf.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

const numbers = (value: unknown): readonly number[] => value as readonly number[];

type Dims = number | readonly number[];

const resolve = (x: Tensor, dims: Dims | undefined): readonly number[] =>
  dims === undefined
    ? x.shape.map((_, i) => i)
    : (typeof dims === "number" ? [dims] : dims).map((d) => normalizeDim(d, x.ndim));

const reducedShape = (shape: Shape, dims: readonly number[], keepdim: boolean): Shape =>
  keepdim ? shape.map((n, i) => (dims.includes(i) ? 1 : n)) : shape.filter((_, i) => !dims.includes(i));

/** Gives a reduced gradient its dimensions back, with size 1 where they were folded. */
const restore = (g: Tensor, x: TensorType, dims: readonly number[]): Tensor =>
  reshape(g, reducedShape(x.shape, dims, true));

const reduction = (
  name: string,
  key: "sum.dim_IntList" | "amax" | "amin" | "logsumexp" | "any.dims" | "all.dims",
  vjp: Operation["vjp"],
  result?: "bool",
): Operation =>
  register({
    name,
    infer: ([x], { dims, keepdim }) => [
      {
        shape: reducedShape(x!.shape, numbers(dims), keepdim === true),
        dtype: result ?? (name === "sum" && !isFloating(x!.dtype) ? "int64" : x!.dtype),
      },
    ],
    vjp,
    lower: ({ inputs: [x], attributes: { dims, keepdim } }) => ({
      kind: "aten",
      key,
      args:
        key === "sum.dim_IntList"
          ? [x!, numbers(dims), keepdim === true, null]
          : [x!, numbers(dims), keepdim === true],
    }),
    layout: "strict",
  });

// d sum = sum of dx: every element gets the gradient of its sum.
const sumOperation = reduction("sum", "sum.dim_IntList", ({ inputs: [x], gradients: [g], attributes }) => [
  expand(restore(g!, x!, numbers(attributes["dims"])), x!.shape),
]);

// The gradient goes to the extreme elements, in equal parts where several tie.
const extremumRule: Operation["vjp"] = ({ inputs: [x], outputs: [y], gradients: [g], attributes }) => {
  const dims = numbers(attributes["dims"]);
  const hit = cast(eq(x!, restore(y!, x!, dims)), g!.dtype);
  return [mul(hit, div(restore(g!, x!, dims), sum(hit, dims, true)))];
};
const amaxOperation = reduction("amax", "amax", extremumRule);
const aminOperation = reduction("amin", "amin", extremumRule);

// d logsumexp(x) = softmax(x) dx
const logsumexpOperation = reduction(
  "logsumexp",
  "logsumexp",
  ({ inputs: [x], outputs: [y], gradients: [g], attributes }) => {
    const dims = numbers(attributes["dims"]);
    return [mul(restore(g!, x!, dims), exp(sub(x!, restore(y!, x!, dims))))];
  },
);
const anyOperation = reduction("any", "any.dims", "zero", "bool");
const allOperation = reduction("all", "all.dims", "zero", "bool");

const reduce = (operation: Operation, x: Tensor, dims: Dims | undefined, keepdim: boolean): Tensor =>
  apply(operation, [x], { dims: resolve(x, dims), keepdim });

/** Sum; integers and bool give int64. */
export function sum(x: Tensor, dims?: Dims, keepdim = false): Tensor {
  return resolve(x, dims).length === 0 ? x : reduce(sumOperation, x, dims, keepdim);
}

/** Arithmetic mean. */
export function mean(x: Tensor, dims?: Dims, keepdim = false): Tensor {
  requireFloat(x);
  const count = numel(resolve(x, dims).map((d) => x.shape[d]!));
  return mul(sum(x, dims, keepdim), 1 / count);
}

/** Variance; `correction` 1 divides by n - 1 (Bessel), 0 by n. */
export function variance(x: Tensor, dims?: Dims, keepdim = false, correction = 1): Tensor {
  const centred = sub(x, mean(x, resolve(x, dims), true));
  const count = numel(resolve(x, dims).map((d) => x.shape[d]!));
  return mul(sum(mul(centred, centred), dims, keepdim), 1 / Math.max(0, count - correction));
}

/** Largest element; ties share the gradient. */
export const amax = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(amaxOperation, x, dims, keepdim);
/** Smallest element; ties share the gradient. */
export const amin = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(aminOperation, x, dims, keepdim);
/** log(sum(e^x)), without overflow. */
export const logsumexp = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(logsumexpOperation, x, dims, keepdim);
/** Whether any element is true. */
export const any = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(anyOperation, x, dims, keepdim);
/** Whether all elements are true. */
export const all = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(allOperation, x, dims, keepdim);

const argOperation = (key: "argmax" | "argmin"): Operation =>
  register({
    name: key,
    infer: ([x], { dim, keepdim }) => [
      { shape: reducedShape(x!.shape, [Number(dim)], keepdim === true), dtype: "int64" },
    ],
    vjp: "zero",
    lower: ({ inputs: [x], attributes: { dim, keepdim } }) => ({
      kind: "aten",
      key,
      args: [x!, Number(dim), keepdim === true],
    }),
    layout: "strict",
  });
const argmaxOperation = argOperation("argmax");
const argminOperation = argOperation("argmin");

/** Index of the first largest element along a dimension, as int64. */
export const argmax = (x: Tensor, dim = -1, keepdim = false): Tensor =>
  apply(argmaxOperation, [x], { dim: normalizeDim(dim, x.ndim), keepdim });
/** Index of the first smallest element along a dimension, as int64. */
export const argmin = (x: Tensor, dim = -1, keepdim = false): Tensor =>
  apply(argminOperation, [x], { dim: normalizeDim(dim, x.ndim), keepdim });

const cumsumOperation = register({
  name: "cumsum",
  infer: ([x]) => [{ shape: x!.shape, dtype: isFloating(x!.dtype) ? x!.dtype : "int64" }],
  // y_i = x_1 + ... + x_i, so x_j gets the sum of the gradients from j on.
  vjp: ({ gradients: [g], attributes }) => {
    const dim = Number(attributes["dim"]);
    return [flip(cumsum(flip(g!, [dim]), dim), [dim])];
  },
  lower: ({ inputs: [x], attributes }) => ({
    kind: "aten",
    key: "cumsum",
    args: [x!, Number(attributes["dim"]), null],
  }),
  layout: "strict",
} satisfies Operation);

/** Running sum along a dimension. */
export const cumsum = (x: Tensor, dim: number): Tensor =>
  apply(cumsumOperation, [x], { dim: normalizeDim(dim, x.ndim) });

// The gradient of values taken by index goes back to where they came from.
const takeRule: Operation["vjp"] = ({ inputs: [x], outputs, gradients: [g], attributes }) => [
  g === undefined
    ? undefined
    : zeros(x!.shape, g.dtype).scatterAdd(Number(attributes["dim"]), outputs[1]!, g),
];

const topkOperation = register({
  name: "topk",
  infer: ([x], { k, dim }) => {
    const shape = x!.shape.map((n, i) => (i === dim ? Number(k) : n));
    if (Number(k) > x!.shape[Number(dim)]!)
      throw new TypeError(`k = ${String(k)} is more than the dimension's ${x!.shape[Number(dim)]}`);
    return [
      { shape, dtype: x!.dtype },
      { shape, dtype: "int64" },
    ];
  },
  vjp: takeRule,
  lower: ({ inputs: [x], attributes: { k, dim, largest } }) => ({
    kind: "aten",
    key: "topk",
    args: [x!, Number(k), Number(dim), largest === true, true],
  }),
  layout: "strict",
} satisfies Operation);

/** The k largest (or smallest) elements along a dimension in order, and their indices. */
export function topk(x: Tensor, k: number, dim = -1, largest = true): { values: Tensor; indices: Tensor } {
  const [values, indices] = applyAll(topkOperation, [x], { k, dim: normalizeDim(dim, x.ndim), largest });
  return { values: values!, indices: indices! };
}

const sortOperation = register({
  name: "sort",
  infer: ([x]) => [
    { shape: x!.shape, dtype: x!.dtype },
    { shape: x!.shape, dtype: "int64" },
  ],
  vjp: takeRule,
  lower: ({ inputs: [x], attributes: { dim, descending } }) => ({
    kind: "aten",
    key: "sort",
    args: [x!, Number(dim), descending === true],
  }),
  layout: "strict",
} satisfies Operation);

/** The elements along a dimension in order, and their indices. */
export function sort(x: Tensor, dim = -1, descending = false): { values: Tensor; indices: Tensor } {
  const [values, indices] = applyAll(sortOperation, [x], { dim: normalizeDim(dim, x.ndim), descending });
  return { values: values!, indices: indices! };
}

/** Euclidean norm over dimensions: sqrt(sum(x^2)). */
export const norm = (x: Tensor, dims?: Dims, keepdim = false): Tensor => {
  const total = sum(mul(x, x), dims, keepdim);
  return safeSqrt(total);
};

// sqrt has an infinite slope at 0; the norm's gradient there is taken as 0, as in PyTorch.
const safeSqrt = (x: Tensor): Tensor => {
  const zero = cast(eq(x, 0), x.dtype);
  return mul(sqrt(add(x, zero)), sub(1, zero));
};

/** Sums a gradient over the dimensions that broadcasting added or repeated. */
export function sumTo(g: Tensor, shape: Shape): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const lead = g.ndim - shape.length;
  const dims = g.shape
    .map((_, i) => i)
    .filter((i) => i < lead || (shape[i - lead] === 1 && g.shape[i] !== 1));
  return reshape(dims.length === 0 ? g : sum(g, dims, true), shape);
}
