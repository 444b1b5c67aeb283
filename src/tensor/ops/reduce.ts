/** @file Operations that fold dimensions away. `dims` left out means all of them. */
import { isFloating } from "../../torch/dtype.js";
import { apply, applyAll, requireFloat, type Operation } from "../operation.js";
import {
  normalizeDim,
  numel,
  sameShape,
  typeName,
  type Shape,
  type Tensor,
  type TensorType,
} from "../tensor.js";
import { abs, cast, div, eq, exp, mul, sub, where } from "./elementwise.js";
import { expand, flip, reshape, unsqueeze } from "./shape.js";
import { zeros } from "../leaf.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

const numbers = (value: unknown): readonly number[] => value as readonly number[];

type Dims = number | readonly number[];

function resolve(x: Tensor, dims: Dims | undefined): readonly number[] {
  if (dims === undefined) return x.shape.map((_, i) => i);
  const list = (typeof dims === "number" ? [dims] : dims).map((d) => normalizeDim(d, x.ndim));
  if (x.ndim === 0) return [];
  if (list.length === 0) throw new TypeError("dims = []: leave dims out to reduce over all dimensions");
  if (new Set(list).size !== list.length)
    throw new TypeError(`dims = [${list.join(", ")}]: one occurs twice`);
  return list;
}

/** Half precision as float32: sums of squares would lose or overflow in it. */
const widen = (x: Tensor): Tensor =>
  x.dtype === "float16" || x.dtype === "bfloat16" ? cast(x, "float32") : x;

const reducedShape = (shape: Shape, dims: readonly number[], keepdim: boolean): Shape =>
  keepdim ? shape.map((n, i) => (dims.includes(i) ? 1 : n)) : shape.filter((_, i) => !dims.includes(i));

/** Gives a reduced gradient its dimensions back, with size 1 where they were folded. */
const restore = (g: Tensor, x: TensorType, dims: readonly number[]): Tensor =>
  reshape(g, reducedShape(x.shape, dims, true));

/** Kernels that can convert what they read first. */
const withDtype: readonly string[] = ["sum.dim_IntList", "mean.dim", "linalg_matrix_norm.str_ord"];

const reduction = (
  name: string,
  key:
    | "sum.dim_IntList"
    | "mean.dim"
    | "amax"
    | "amin"
    | "logsumexp"
    | "any.dims"
    | "all.dims"
    | "linalg_matrix_norm.str_ord",
  vjp: Operation["vjp"],
  result?: "bool",
): Operation =>
  register({
    name,
    infer: ([x], { dims, keepdim }) => {
      if (name === "logsumexp" || name === "mean") requireFloat(x!);
      return [
        {
          shape: reducedShape(x!.shape, numbers(dims), keepdim === true),
          dtype: result ?? (name === "sum" && !isFloating(x!.dtype) ? "int64" : x!.dtype),
        },
      ];
    },
    vjp,
    lower: ({ inputs: [x], attributes: { dims, keepdim } }) => ({
      kind: "aten",
      key,
      args: [
        x!,
        ...(key === "linalg_matrix_norm.str_ord" ? ["fro"] : []),
        numbers(dims),
        keepdim === true,
        ...(withDtype.includes(key) ? [null] : []),
      ],
    }),
    layout: "strict",
  });

// d sum = sum of dx: every element gets the gradient of its sum.
const sumOperation = reduction("sum", "sum.dim_IntList", ({ inputs: [x], gradients: [g], attributes }) => [
  expand(restore(g!, x!, numbers(attributes["dims"])), x!.shape),
]);

const sizeOf = (x: TensorType, dims: readonly number[]): number => numel(dims.map((d) => x.shape[d]!));

// d mean = sum of dx / n
const meanOperation = reduction("mean", "mean.dim", ({ inputs: [x], gradients: [g], attributes }) => {
  const dims = numbers(attributes["dims"]);
  return [expand(restore(div(g!, sizeOf(x!, dims)), x!, dims), x!.shape)];
});

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
  if (resolve(x, dims).length === 0) return cast(x, isFloating(x.dtype) ? x.dtype : "int64");
  return reduce(sumOperation, x, dims, keepdim);
}

/** Arithmetic mean. */
export const mean = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(meanOperation, x, dims, keepdim);

/** Variance, computed in float32 or wider; `correction` 1 divides by n - 1 (Bessel), 0 by n. */
export function variance(x: Tensor, dims?: Dims, keepdim = false, correction = 1): Tensor {
  const wide = widen(x);
  const centred = sub(wide, mean(wide, dims, true));
  const count = sizeOf(x, resolve(x, dims));
  return cast(div(sum(mul(centred, centred), dims, keepdim), Math.max(0, count - correction)), x.dtype);
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
// ATen answers in uint8 where it is asked in uint8.
const truth = (x: Tensor): Tensor => (x.dtype === "uint8" ? cast(x, "bool") : x);

/** Whether any element is true, as bool. */
export const any = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(anyOperation, truth(x), dims, keepdim);
/** Whether all elements are true, as bool. */
export const all = (x: Tensor, dims?: Dims, keepdim = false): Tensor =>
  reduce(allOperation, truth(x), dims, keepdim);

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

// d = x / |x| . dx, and 0 where the norm is, as in PyTorch.
const normOperation = reduction(
  "norm",
  "linalg_matrix_norm.str_ord",
  ({ inputs: [x], outputs: [y], gradients: [g], attributes }) => {
    const dims = numbers(attributes["dims"]);
    const length = restore(y!, x!, dims);
    return [mul(x!, div(restore(g!, x!, dims), where(eq(length, 0), 1, length)))];
  },
);

/** Euclidean norm over dimensions, computed in float32 or wider: sqrt(sum(x^2)). */
export function norm(x: Tensor, dims?: Dims, keepdim = false): Tensor {
  requireFloat(x);
  const over = resolve(x, dims);
  if (over.length === 0) return abs(x);
  let y = widen(x);
  // The kernel takes two dimensions at a time; a single one stands with one of size 1.
  for (let i = 0; i < over.length; i += 2) {
    const [first = 0, second] = over.slice(i, i + 2);
    if (second !== undefined) y = reduce(normOperation, y, [first, second], true);
    else {
      const shape = reducedShape(y.shape, [first], true);
      y = reshape(reduce(normOperation, unsqueeze(y, first), [first, first + 1], true), shape);
    }
  }
  return cast(reshape(y, reducedShape(x.shape, over, keepdim)), x.dtype);
}

/** Sums a gradient over the dimensions that broadcasting added or repeated. */
export function sumTo(g: Tensor, shape: Shape): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const lead = g.ndim - shape.length;
  if (lead < 0 || shape.some((n, i) => n !== 1 && n !== g.shape[lead + i]))
    throw new TypeError(`a gradient of ${typeName(g)} does not fit a tensor of shape [${shape.join(", ")}]`);
  const dims = g.shape
    .map((_, i) => i)
    .filter((i) => i < lead || (shape[i - lead] === 1 && g.shape[i] !== 1));
  return reshape(dims.length === 0 ? g : sum(g, dims, true), shape);
}
