/** @file Operations that rearrange elements. Most are views: another layout of the same memory. */
import { dtypeCode, promoteTypes, type DType } from "../../torch/dtype.js";
import { apply, type Layout, type Operation } from "../operation.js";
import { normalizeDim, numel, sameShape, typeName, type Shape, type Tensor } from "../tensor.js";
import { contiguousLayout } from "../layout.js";
import { zeros } from "../leaf.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

const numbers = (value: unknown): readonly number[] => value as readonly number[];

const reshapeOperation = register({
  name: "reshape",
  infer: ([x], { shape }) => {
    const target = numbers(shape);
    if (numel(target) !== numel(x!.shape) || target.some((n) => !Number.isInteger(n) || n < 0))
      throw new TypeError(`has ${numel(x!.shape)} elements, not those of [${target.join(", ")}]`);
    return [{ shape: target, dtype: x!.dtype }];
  },
  vjp: ({ inputs: [x], gradients: [g] }) => [reshape(g!, x!.shape)],
  lower: ({ attributes }) => ({
    kind: "view",
    layout: (input) => reshapeLayout(input, numbers(attributes["shape"])),
  }),
} satisfies Operation);

/** The strides that show the same elements in another shape, if there are any: dimensions that lie dense may merge and split. */
function reshapeLayout(input: Layout, shape: Shape): Layout | undefined {
  if (shape.includes(0)) return { ...contiguousLayout(shape), offset: input.offset };
  const dims = input.sizes
    .map((size, i) => ({ size, stride: input.strides[i]! }))
    .filter(({ size }) => size !== 1);
  const runs: { size: number; stride: number }[] = [];
  for (const { size, stride } of dims) {
    const last = runs.at(-1);
    if (last !== undefined && last.stride === size * stride)
      runs[runs.length - 1] = { size: last.size * size, stride };
    else runs.push({ size, stride });
  }
  const strides = new Array<number>(shape.length).fill(1);
  let run = runs.length - 1;
  let taken = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 1) {
      strides[i] = i + 1 < shape.length ? strides[i + 1]! * shape[i + 1]! : 1;
      continue;
    }
    while (run >= 0 && taken === runs[run]!.size) {
      run--;
      taken = 1;
    }
    if (run < 0) return undefined;
    strides[i] = runs[run]!.stride * taken;
    taken *= shape[i]!;
    if (runs[run]!.size % taken !== 0) return undefined;
  }
  return { sizes: shape, strides, offset: input.offset };
}

/** The same elements in another shape; one size may be -1 and is worked out. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = numel(shape.filter((n) => n !== -1));
  const free = shape.length - shape.filter((n) => n !== -1).length;
  if (free > 1 || (free === 1 && x.numel % known !== 0))
    throw new TypeError(`reshape(${typeName(x)}): does not fit [${shape.join(", ")}]`);
  const resolved = shape.map((n) => (n === -1 ? x.numel / known : n));
  return sameShape(resolved, x.shape) ? x : apply(reshapeOperation, [x], { shape: resolved });
}

const permuteOperation = register({
  name: "permute",
  infer: ([x], { dims }) => {
    const order = numbers(dims);
    if (order.length !== x!.shape.length || new Set(order).size !== order.length)
      throw new TypeError(
        `dims [${order.join(", ")}] do not name each of ${x!.shape.length} dimensions once`,
      );
    return [{ shape: order.map((d) => x!.shape[d]!), dtype: x!.dtype }];
  },
  vjp: ({ gradients: [g], attributes }) => {
    const inverse: number[] = [];
    numbers(attributes["dims"]).forEach((d, i) => (inverse[d] = i));
    return [permute(g!, inverse)];
  },
  lower: ({ attributes }) => ({
    kind: "view",
    layout: ({ sizes, strides, offset }) => {
      const dims = numbers(attributes["dims"]);
      return { sizes: dims.map((d) => sizes[d]!), strides: dims.map((d) => strides[d]!), offset };
    },
  }),
} satisfies Operation);

/** Reorders the dimensions. */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  const order = dims.map((d) => normalizeDim(d, x.ndim));
  return order.every((d, i) => d === i) && order.length === x.ndim
    ? x
    : apply(permuteOperation, [x], { dims: order });
}

/** Whether a matrix is the transpose of one that lies in memory. */
export const isTransposed = (x: Tensor): boolean => x.ndim === 2 && x.node.operation === permuteOperation;

/** Swaps two dimensions. */
export function transpose(x: Tensor, a: number, b: number): Tensor {
  const order = x.shape.map((_, i) => i);
  const [i, j] = [normalizeDim(a, x.ndim), normalizeDim(b, x.ndim)];
  [order[i], order[j]] = [order[j]!, order[i]!];
  return permute(x, order);
}

/** The transpose of a matrix. */
export const t = (x: Tensor): Tensor => transpose(x, 0, 1);

const expandOperation = register({
  name: "expand",
  infer: ([x], { shape }) => {
    const target = numbers(shape);
    const lead = target.length - x!.shape.length;
    if (lead < 0 || x!.shape.some((n, i) => n !== 1 && n !== target[lead + i]))
      throw new TypeError(`cannot expand to [${target.join(", ")}]`);
    return [{ shape: target, dtype: x!.dtype }];
  },
  vjp: ({ inputs: [x], gradients: [g] }) => [g!.sumTo(x!.shape)],
  lower: ({ attributes }) => ({
    kind: "view",
    layout: ({ sizes, strides, offset }) => {
      const shape = numbers(attributes["shape"]);
      const lead = shape.length - sizes.length;
      return {
        sizes: shape,
        strides: shape.map((n, i) =>
          i < lead || (sizes[i - lead] === 1 && n !== 1) ? 0 : strides[i - lead]!,
        ),
        offset,
      };
    },
  }),
} satisfies Operation);

/** Repeats dimensions of size 1 without copying; -1 keeps a size. */
export function expand(x: Tensor, shape: Shape): Tensor {
  const lead = shape.length - x.ndim;
  const resolved = shape.map((n, i) => (n === -1 ? (x.shape[i - lead] ?? 1) : n));
  return sameShape(resolved, x.shape) ? x : apply(expandOperation, [x], { shape: resolved });
}

const sliceOperation = register({
  name: "slice",
  infer: ([x], { dim, start, end, step }) => {
    const size = Math.max(0, Math.ceil((Number(end) - Number(start)) / Number(step)));
    return [{ shape: x!.shape.map((n, i) => (i === dim ? size : n)), dtype: x!.dtype }];
  },
  vjp: ({ inputs: [x], gradients: [g], attributes }) => [
    apply(sliceBackward, [g!], { ...attributes, shape: x!.shape }),
  ],
  lower: ({ attributes: { dim, start, step }, outputs }) => ({
    kind: "view",
    layout: ({ strides, offset }) => ({
      sizes: outputs[0]!.shape,
      strides: strides.map((s, i) => (i === dim ? s * Number(step) : s)),
      offset: offset + strides[Number(dim)]! * Number(start),
    }),
  }),
} satisfies Operation);

const sliceBackward = register({
  name: "slice_backward",
  infer: ([g], { shape }) => [{ shape: numbers(shape), dtype: g!.dtype }],
  vjp: ({ gradients: [g], attributes }) => [
    slice(
      g!,
      Number(attributes["dim"]),
      Number(attributes["start"]),
      Number(attributes["end"]),
      Number(attributes["step"]),
    ),
  ],
  lower: ({ inputs: [g], attributes: { shape, dim, start, end, step } }) => ({
    kind: "aten",
    key: "slice_backward",
    args: [g!, numbers(shape), Number(dim), Number(start), Number(end), Number(step)],
  }),
} satisfies Operation);

/** Elements `start` to `end` (without) of a dimension, every `step`-th; negative bounds count from the end. */
export function slice(x: Tensor, dim: number, start = 0, end = Infinity, step = 1): Tensor {
  const d = requireDim(x, dim);
  if (!Number.isInteger(step) || step < 1)
    throw new RangeError(`step = ${step}: must be a positive integer.`);
  const size = x.shape[d]!;
  const bound = (n: number): number => Math.min(size, Math.max(0, n < 0 ? n + size : n));
  const from = bound(start);
  const attributes = { dim: d, start: from, end: Math.max(from, bound(end)), step };
  return attributes.start === 0 && attributes.end === size && step === 1
    ? x
    : apply(sliceOperation, [x], attributes);
}

/** `length` elements of a dimension from `start`, all of which must be there. */
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  const size = x.shape[requireDim(x, dim)]!;
  if (start < 0 || length < 0 || start + length > size)
    throw new RangeError(`start = ${start}, length = ${length}: dimension ${dim} has ${size} elements.`);
  return slice(x, dim, start, start + length);
}

/** Refuses tensors without dimensions, which {@link normalizeDim} lets pass. */
function requireDim(x: Tensor, dim: number): number {
  if (x.ndim === 0) throw new RangeError(`dim = ${dim}: the tensor has no dimensions.`);
  return normalizeDim(dim, x.ndim);
}

/** One element of a dimension, without that dimension. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  const d = requireDim(x, dim);
  const size = x.shape[d]!;
  const at = index < 0 ? index + size : index;
  if (at < 0 || at >= size) throw new RangeError(`index = ${index}: dimension ${d} has ${size} elements.`);
  return reshape(
    slice(x, d, at, at + 1),
    x.shape.filter((_, i) => i !== d),
  );
}

/** Adds a dimension of size 1, which then has the number `dim`. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  const d = normalizeDim(dim, x.ndim + 1);
  return reshape(x, [...x.shape.slice(0, d), 1, ...x.shape.slice(d)]);
}

/** Removes a dimension of size 1, or all of them. */
export function squeeze(x: Tensor, dim?: number): Tensor {
  const d = dim === undefined ? undefined : normalizeDim(dim, x.ndim);
  return reshape(
    x,
    x.shape.filter((n, i) => n !== 1 || (d !== undefined && i !== d)),
  );
}

/** Merges the dimensions from `start` to `end` (with). */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  const [a, b] = [normalizeDim(start, x.ndim), normalizeDim(end, x.ndim)];
  if (a > b)
    throw new RangeError(`start = ${start}, end = ${end}: the first dimension comes after the last.`);
  return reshape(x, [...x.shape.slice(0, a), numel(x.shape.slice(a, b + 1)), ...x.shape.slice(b + 1)]);
}

/** Pieces of the given sizes along a dimension, or of one size with a shorter one at the end. */
export function split(x: Tensor, sizes: number | readonly number[], dim = 0): Tensor[] {
  const total = x.shape[requireDim(x, dim)]!;
  const sum = typeof sizes === "number" ? total : sizes.reduce((a, b) => a + b, 0);
  if (sum !== total || (typeof sizes === "number" && !(sizes > 0)))
    throw new RangeError(`sizes = ${JSON.stringify(sizes)}: dimension ${dim} has ${total} elements.`);
  const list =
    typeof sizes === "number"
      ? Array.from({ length: Math.ceil(total / sizes) }, (_, i) => Math.min(sizes, total - i * sizes))
      : sizes;
  let start = 0;
  return list.map((size) => {
    start += size;
    return slice(x, dim, start - size, start);
  });
}

const catOperation = register({
  name: "cat",
  infer: (inputs, { dim }) => {
    const first = inputs[0]!;
    if (first.shape.length === 0)
      throw new TypeError("tensors without dimensions cannot be joined; use stack");
    for (const { shape } of inputs) {
      if (shape.length !== first.shape.length || shape.some((n, i) => i !== dim && n !== first.shape[i]))
        throw new TypeError(`shapes differ outside dimension ${String(dim)}`);
    }
    const size = inputs.reduce((a, { shape }) => a + shape[Number(dim)]!, 0);
    return [
      {
        shape: first.shape.map((n, i) => (i === dim ? size : n)),
        dtype: inputs.map((x) => x.dtype).reduce(promoteTypes),
      },
    ];
  },
  vjp: ({ inputs, gradients: [g], attributes }) =>
    split(
      g!,
      inputs.map((x) => x.shape[Number(attributes["dim"])]!),
      Number(attributes["dim"]),
    ),
  lower: ({ inputs, attributes }) => ({
    kind: "aten",
    key: "cat",
    args: [inputs, Number(attributes["dim"])],
  }),
  layout: "strict",
} satisfies Operation);

/** Joins tensors along a dimension. */
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  if (tensors.length === 0) throw new TypeError("cat needs at least one tensor");
  return tensors.length === 1
    ? tensors[0]!
    : apply(catOperation, tensors, { dim: normalizeDim(dim, tensors[0]!.ndim) });
}

/** Joins tensors of one shape along a new dimension. */
export const stack = (tensors: readonly Tensor[], dim = 0): Tensor =>
  cat(
    tensors.map((x) => unsqueeze(x, dim)),
    dim,
  );

const flipOperation = register({
  name: "flip",
  infer: ([x]) => [{ shape: x!.shape, dtype: x!.dtype }],
  vjp: ({ gradients: [g], attributes }) => [flip(g!, numbers(attributes["dims"]))],
  lower: ({ inputs: [x], attributes }) => ({
    kind: "aten",
    key: "flip",
    args: [x!, numbers(attributes["dims"])],
  }),
  layout: "strict",
} satisfies Operation);

/** Reverses dimensions. */
export const flip = (x: Tensor, dims: readonly number[]): Tensor =>
  apply(flipOperation, [x], { dims: dims.map((d) => normalizeDim(d, x.ndim)) });

const triangle = (name: "tril" | "triu"): Operation =>
  register({
    name,
    infer: ([x]) => [{ shape: x!.shape, dtype: x!.dtype }],
    vjp: ({ gradients: [g], attributes }) => [apply(operations[name]!, [g!], attributes)],
    lower: ({ inputs: [x], attributes }) => ({
      kind: "aten",
      key: name,
      args: [x!, Number(attributes["diagonal"])],
    }),
    layout: "strict",
  });
const trilOperation = triangle("tril");
const triuOperation = triangle("triu");

/** The elements on and below a diagonal, zero elsewhere. */
export const tril = (x: Tensor, diagonal = 0): Tensor => apply(trilOperation, [x], { diagonal });
/** The elements on and above a diagonal, zero elsewhere. */
export const triu = (x: Tensor, diagonal = 0): Tensor => apply(triuOperation, [x], { diagonal });

/** Repeats the whole tensor `counts[i]` times along dimension i. */
export function repeat(x: Tensor, counts: readonly number[]): Tensor {
  if (counts.length < x.ndim)
    throw new TypeError(`repeat(${typeName(x)}): counts [${counts.join(", ")}] must name each dimension`);
  const shape = [...new Array<number>(Math.max(0, counts.length - x.ndim)).fill(1), ...x.shape];
  const wide = expand(
    reshape(
      x,
      shape.flatMap((n) => [1, n]),
    ),
    shape.flatMap((n, i) => [counts[i]!, n]),
  );
  return reshape(
    wide,
    shape.map((n, i) => n * counts[i]!),
  );
}

/** Puts `before` and `after` elements of zero around a dimension. */
export function pad(x: Tensor, dim: number, before: number, after: number): Tensor {
  const d = requireDim(x, dim);
  if (before < 0 || after < 0)
    throw new RangeError(`before = ${before}, after = ${after}: must not be negative; use slice to cut.`);
  const block = (size: number): Tensor[] =>
    size === 0
      ? []
      : [
          zeros(
            x.shape.map((n, i) => (i === d ? size : n)),
            x.dtype,
          ),
        ];
  return cat([...block(before), x, ...block(after)], d);
}

const contiguousOperation = register({
  name: "contiguous",
  infer: ([x], { dtype }) => [{ shape: x!.shape, dtype: dtype as DType }],
  vjp: ({ inputs: [x], gradients: [g] }) => [g!.to(x!.dtype)],
  lower: ({ inputs: [x], attributes: { dtype } }) => ({
    kind: "aten",
    key: "_to_copy",
    args: [x!, dtypeCode(dtype as DType), null, null, null, false, 0],
  }),
} satisfies Operation);

/** A copy whose elements lie in row-major order, converted to `dtype` on the way if given. */
export const contiguous = (x: Tensor, dtype: DType = x.dtype): Tensor =>
  apply(contiguousOperation, [x], { dtype });
