/** @file Operations that act on each element alone. Gradient rules stand under the derivative they apply. */
import type { OperatorKey } from "../../torch/dispatcher.js";
import { dtypeCode, isFloating, promoteTypes, type DType } from "../../torch/dtype.js";
import { constantValue } from "../leaf.js";
import { apply, requireFloat, type Operation } from "../operation.js";
import type { Tensor, TensorType } from "../tensor.js";
import { asTensor, broadcastShapes, resultType, type Operand } from "./broadcast.js";

type UnaryRule = (g: Tensor, x: Tensor, y: Tensor) => Tensor;

/** The operation behind each function of this family, by name. */
export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

function unary(
  name: OperatorKey,
  rule: UnaryRule | "zero",
  options: { inPlace?: OperatorKey; dtypes?: "float" | "any"; result?: DType } = {},
): (x: Tensor) => Tensor {
  const { inPlace, dtypes = "float", result } = options;
  const operation = register({
    name,
    infer: ([x]) => {
      if (dtypes === "float") requireFloat(x!);
      return [{ shape: x!.shape, dtype: result ?? x!.dtype }];
    },
    vjp:
      rule === "zero"
        ? "zero"
        : ({ inputs, outputs, gradients }) => [rule(gradients[0]!, inputs[0]!, outputs[0]!)],
    lower: ({ inputs }) => ({ kind: "aten", key: name, args: [inputs[0]!] }),
    layout: "iterator",
    ...(inPlace === undefined ? {} : { inPlace: { key: inPlace, input: 0 } }),
  });
  return (x) => apply(operation, [x]);
}

/** -x. d(-x) = -dx */
export const neg = unary("neg", (g) => neg(g), { inPlace: "neg_", dtypes: "any" });
/** |x|. d|x| = sign(x) dx */
export const abs = unary("abs", (g, x) => mul(g, sign(x)), { inPlace: "abs_", dtypes: "any" });
/** e^x. d = y dx */
export const exp = unary("exp", (g, _x, y) => mul(g, y), { inPlace: "exp_" });
/** Natural logarithm. d = dx / x */
export const log = unary("log", (g, x) => div(g, x), { inPlace: "log_" });
/** log(1 + x), accurate near 0. d = dx / (1 + x) */
export const log1p = unary("log1p", (g, x) => div(g, add(x, 1)));
/** e^x - 1, accurate near 0. d = (y + 1) dx */
export const expm1 = unary("expm1", (g, _x, y) => mul(g, add(y, 1)));
/** Square root. d = dx / 2y */
export const sqrt = unary("sqrt", (g, _x, y) => div(mul(g, 0.5), y), { inPlace: "sqrt_" });
/** 1 / sqrt(x). d = -y^3 dx / 2 */
export const rsqrt = unary("rsqrt", (g, _x, y) => mul(g, mul(mul(mul(y, y), y), -0.5)), {
  inPlace: "rsqrt_",
});
/** 1 / x. d = -y^2 dx */
export const reciprocal = unary("reciprocal", (g, _x, y) => neg(mul(g, mul(y, y))), {
  inPlace: "reciprocal_",
});
/** Sine. d = cos(x) dx */
export const sin = unary("sin", (g, x) => mul(g, cos(x)));
/** Cosine. d = -sin(x) dx */
export const cos = unary("cos", (g, x) => neg(mul(g, sin(x))));
/** Hyperbolic tangent. d = (1 - y^2) dx */
export const tanh = unary("tanh", (g, _x, y) => binary("tanh_backward", g, y), { inPlace: "tanh_" });
/** 1 / (1 + e^-x). d = y (1 - y) dx */
export const sigmoid = unary("sigmoid", (g, _x, y) => binary("sigmoid_backward", g, y), {
  inPlace: "sigmoid_",
});
/** x sigmoid(x). d = s (1 + x (1 - s)) dx with s = sigmoid(x) */
export const silu = unary("silu", (g, x) => binary("silu_backward", g, x), { inPlace: "silu_" });
/** max(x, 0). d = dx where x > 0 */
export const relu = unary("relu", (g, _x, y) => mul(g, cast(gt(y, 0), g.dtype)), {
  inPlace: "relu_",
  dtypes: "any",
});
/** Error function. d = 2/sqrt(pi) e^(-x^2) dx */
export const erf = unary("erf", (g, x) => mul(g, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))));
/** -1, 0 or 1. */
export const sign = unary("sign", "zero", { dtypes: "any" });
export const floor = unary("floor", "zero");
export const ceil = unary("ceil", "zero");
/** Rounds to the nearest integer, halves to even. */
export const round = unary("round", "zero");
export const isnan = unary("isnan", "zero", { result: "bool" });
export const isinf = unary("isinf", "zero", { result: "bool" });
export const logicalNot = unary("logical_not", "zero", { result: "bool", dtypes: "any" });
export const bitwiseNot = unary("bitwise_not", "zero", { dtypes: "any" });

const geluOperation = register({
  name: "gelu",
  infer: ([x]) => (requireFloat(x!), [{ shape: x!.shape, dtype: x!.dtype }]),
  // d = (Phi(x) + x phi(x)) dx, or its tanh approximation
  vjp: ({ inputs, gradients, attributes }) => [apply(geluBackward, [gradients[0]!, inputs[0]!], attributes)],
  lower: ({ inputs, attributes }) => ({
    kind: "aten",
    key: "gelu",
    args: [inputs[0]!, String(attributes["approximate"])],
  }),
  layout: "iterator",
} satisfies Operation);

const geluBackward = register({
  name: "gelu_backward",
  infer: ([g, x]) => [{ shape: broadcastShapes(g!.shape, x!.shape), dtype: x!.dtype }],
  vjp: "none",
  lower: ({ inputs, attributes }) => ({
    kind: "aten",
    key: "gelu_backward",
    args: [inputs[0]!, inputs[1]!, String(attributes["approximate"])],
  }),
  layout: "strict",
} satisfies Operation);

/** x Phi(x) with the normal distribution's Phi, exact (`none`) or by its `tanh` approximation (Hendrycks & Gimpel 2016). */
export const gelu = (x: Tensor, approximate: "none" | "tanh" = "none"): Tensor =>
  apply(geluOperation, [x], { approximate });

interface BinaryOptions {
  readonly result?: "bool";
  readonly inPlace?: OperatorKey;
  readonly integerResult?: "float32";
}

type BinaryRule = (g: Tensor, a: Tensor, b: Tensor, y: Tensor) => readonly [Tensor, Tensor];

function binaryOperation(
  key: OperatorKey,
  rule: BinaryRule | "zero" | "none",
  options: BinaryOptions = {},
): Operation {
  return register({
    name: key.replace(/\..*/, ""),
    infer: ([a, b]) => {
      const dtype = resultType(a!, b!);
      const inexact =
        options.integerResult !== undefined && !isFloating(dtype) ? options.integerResult : dtype;
      return [{ shape: broadcastShapes(a!.shape, b!.shape), dtype: options.result ?? inexact }];
    },
    vjp:
      typeof rule === "string"
        ? rule
        : ({ inputs, outputs, gradients }) => rule(gradients[0]!, inputs[0]!, inputs[1]!, outputs[0]!),
    lower: ({ inputs }) => ({ kind: "aten", key, args: [inputs[0]!, inputs[1]!] }),
    layout: "iterator",
    ...(options.inPlace === undefined ? {} : { inPlace: { key: options.inPlace, input: 0 } }),
  });
}

const binaries = {
  mul: binaryOperation("mul.Tensor", (g, a, b) => [mul(g, b), mul(g, a)], { inPlace: "mul_.Tensor" }),
  div: binaryOperation("div.Tensor", (g, _a, b, y) => [div(g, b), neg(div(mul(g, y), b))], {
    inPlace: "div_.Tensor",
    integerResult: "float32",
  }),
  // At 0 the factors are 0 times infinity: x^0 has no slope in x, and 0^b has none in b.
  pow: binaryOperation("pow.Tensor_Tensor", (g, a, b, y) => {
    const slope = mul(b, pow(a, sub(b, 1)));
    const exponent = constantValue(b);
    const mayBeZero = exponent === undefined || Array.from(exponent.data, Number).includes(0);
    return [
      mul(g, mayBeZero ? where(eq(b, 0), 0, slope) : slope),
      mul(g, where(logicalAnd(eq(a, 0), ge(b, 0)), 0, mul(y, log(a)))),
    ];
  }),
  maximum: binaryOperation("maximum", (g, a, b) => extremumRule(g, a, b, ge(a, b), eq(a, b))),
  minimum: binaryOperation("minimum", (g, a, b) => extremumRule(g, a, b, le(a, b), eq(a, b))),
  atan2: binaryOperation("atan2", (g, a, b) => {
    const scaled = div(g, add(mul(a, a), mul(b, b)));
    return [mul(scaled, b), neg(mul(scaled, a))];
  }),
  hypot: binaryOperation("hypot", (g, a, b, y) => {
    const scaled = div(g, y);
    return [mul(scaled, a), mul(scaled, b)];
  }),
  tanh_backward: binaryOperation("tanh_backward", (g, a, y) => [
    mul(g, sub(1, mul(y, y))),
    mul(g, mul(mul(a, y), -2)),
  ]),
  sigmoid_backward: binaryOperation("sigmoid_backward", (g, a, y) => [
    mul(g, mul(y, sub(1, y))),
    mul(g, mul(a, sub(1, mul(y, 2)))),
  ]),
  silu_backward: binaryOperation("silu_backward", "none"),
  eq: binaryOperation("eq.Tensor", "zero", { result: "bool" }),
  ne: binaryOperation("ne.Tensor", "zero", { result: "bool" }),
  lt: binaryOperation("lt.Tensor", "zero", { result: "bool" }),
  le: binaryOperation("le.Tensor", "zero", { result: "bool" }),
  gt: binaryOperation("gt.Tensor", "zero", { result: "bool" }),
  ge: binaryOperation("ge.Tensor", "zero", { result: "bool" }),
  logical_and: binaryOperation("logical_and", "zero", { result: "bool" }),
  logical_or: binaryOperation("logical_or", "zero", { result: "bool" }),
  bitwise_and: binaryOperation("bitwise_and.Tensor", "zero"),
  bitwise_or: binaryOperation("bitwise_or.Tensor", "zero"),
  bitwise_xor: binaryOperation("bitwise_xor.Tensor", "zero"),
  bitwise_left_shift: binaryOperation("bitwise_left_shift.Tensor", "zero"),
  bitwise_right_shift: binaryOperation("bitwise_right_shift.Tensor", "zero"),
  remainder: binaryOperation("remainder.Tensor", (g, a, b) => [g, neg(mul(g, floor(div(a, b))))]),
  floor_divide: binaryOperation("floor_divide", "zero"),
} satisfies Record<string, Operation>;

// Where both are equal each gets half, as in PyTorch.
function extremumRule(
  g: Tensor,
  _a: Tensor,
  _b: Tensor,
  first: Tensor,
  tie: Tensor,
): readonly [Tensor, Tensor] {
  const share = sub(cast(first, g.dtype), mul(cast(tie, g.dtype), 0.5));
  return [mul(g, share), mul(g, sub(1, share))];
}

function binary(name: keyof typeof binaries, a: Operand, b: Operand): Tensor {
  const like = typeof a === "number" ? b : a;
  if (typeof like === "number") throw new TypeError(`${name} needs at least one tensor`);
  return apply(binaries[name], [asTensor(a, like), asTensor(b, like)]);
}

const addOperation = register({
  name: "add",
  infer: ([a, b]) => [{ shape: broadcastShapes(a!.shape, b!.shape), dtype: resultType(a!, b!) }],
  // d(a + alpha b) = da + alpha db
  vjp: ({ gradients: [g], attributes: { alpha } }) => [
    g,
    alpha === 1 ? g : alpha === -1 ? neg(g!) : mul(g!, Number(alpha)),
  ],
  lower: ({ inputs: [a, b], attributes }) => ({
    kind: "add",
    a: a!,
    b: b!,
    alpha: Number(attributes["alpha"]),
  }),
  layout: "iterator",
} satisfies Operation);

function sum(a: Operand, b: Operand, alpha: number): Tensor {
  const like = typeof a === "number" ? b : a;
  if (typeof like === "number") throw new TypeError("add needs at least one tensor");
  const [x, y] = [asTensor(a, like), asTensor(b, like)];
  const dtype = resultType(x, y);
  if (isFloating(dtype)) return apply(addOperation, [x, y], { alpha });
  // The ABI passes alpha as a float, which ATen refuses for integers.
  const wide = apply(addOperation, [cast(x, "float64"), cast(y, "float64")], { alpha });
  return cast(wide, dtype);
}

/** a + alpha b. Integers are exact up to 2^53. */
export const add = (a: Operand, b: Operand, alpha = 1): Tensor => sum(a, b, alpha);
/** a - b. */
export const sub = (a: Operand, b: Operand): Tensor => sum(a, b, -1);
/** a b. d = b da + a db */
export const mul = (a: Operand, b: Operand): Tensor => binary("mul", a, b);
/** a / b; integers give float32. d = da / b - y db / b */
export const div = (a: Operand, b: Operand): Tensor => binary("div", a, b);
/** a^b. d = b a^(b-1) da + y log(a) db */
export const pow = (a: Operand, b: Operand): Tensor => {
  if (b === 2 && typeof a !== "number") return mul(a, a);
  return binary("pow", a, b);
};
export const square = (x: Tensor): Tensor => mul(x, x);
/** The larger of both; ties share the gradient. */
export const maximum = (a: Operand, b: Operand): Tensor => binary("maximum", a, b);
/** The smaller of both; ties share the gradient. */
export const minimum = (a: Operand, b: Operand): Tensor => binary("minimum", a, b);
/** Angle of the point (b, a). d = (b da - a db) / (a^2 + b^2) */
export const atan2 = (a: Operand, b: Operand): Tensor => binary("atan2", a, b);
/** sqrt(a^2 + b^2), without overflow on the way. d = (a da + b db) / y */
export const hypot = (a: Operand, b: Operand): Tensor => binary("hypot", a, b);
export const eq = (a: Operand, b: Operand): Tensor => binary("eq", a, b);
export const ne = (a: Operand, b: Operand): Tensor => binary("ne", a, b);
export const lt = (a: Operand, b: Operand): Tensor => binary("lt", a, b);
export const le = (a: Operand, b: Operand): Tensor => binary("le", a, b);
export const gt = (a: Operand, b: Operand): Tensor => binary("gt", a, b);
export const ge = (a: Operand, b: Operand): Tensor => binary("ge", a, b);
export const logicalAnd = (a: Operand, b: Operand): Tensor => binary("logical_and", a, b);
export const logicalOr = (a: Operand, b: Operand): Tensor => binary("logical_or", a, b);
export const bitwiseAnd = (a: Operand, b: Operand): Tensor => binary("bitwise_and", a, b);
export const bitwiseOr = (a: Operand, b: Operand): Tensor => binary("bitwise_or", a, b);
export const bitwiseXor = (a: Operand, b: Operand): Tensor => binary("bitwise_xor", a, b);
export const bitwiseLeftShift = (a: Operand, b: Operand): Tensor => binary("bitwise_left_shift", a, b);
export const bitwiseRightShift = (a: Operand, b: Operand): Tensor => binary("bitwise_right_shift", a, b);
/** a - b floor(a / b), with the sign of b. */
export const remainder = (a: Operand, b: Operand): Tensor => binary("remainder", a, b);
/** floor(a / b). */
export const floorDivide = (a: Operand, b: Operand): Tensor => binary("floor_divide", a, b);

const castOperation = register({
  name: "to",
  infer: ([x], { dtype }) => [{ shape: x!.shape, dtype: dtype as DType }],
  vjp: ({ inputs: [x], gradients: [g] }) => [cast(g!, x!.dtype)],
  lower: ({ inputs, outputs }) => ({
    kind: "aten",
    key: "_to_copy",
    args: [inputs[0]!, dtypeCode(outputs[0]!.dtype), null, null, null, false, null],
  }),
  layout: "iterator",
} satisfies Operation);

/** Converts the elements to another dtype; the tensor itself if it has that dtype already. */
export const cast = (x: Tensor, dtype: DType): Tensor =>
  x.dtype === dtype ? x : apply(castOperation, [x], { dtype });
/** The tensor that this one was converted from, where that lost nothing: a narrower float. Else the tensor itself. */
export function beforeWidening(x: Tensor): Tensor {
  const [source] = x.node.operation === castOperation ? x.node.inputs : [];
  return source !== undefined && isFloating(source.dtype) && promoteTypes(source.dtype, x.dtype) === x.dtype
    ? source
    : x;
}

/** The same as {@link cast}, under PyTorch's name. */
export const to = cast;

const whereOperation = register({
  name: "where",
  infer: ([condition, a, b]) => {
    if (condition!.dtype !== "bool") throw new TypeError(`condition must be bool, got ${condition!.dtype}`);
    return [{ shape: broadcastShapes(condition!.shape, a!.shape, b!.shape), dtype: resultType(a!, b!) }];
  },
  vjp: ({ inputs: [condition], gradients: [g], needs }) => [
    undefined,
    needs[1] ? where(condition!, g!, 0) : undefined,
    needs[2] ? where(condition!, 0, g!) : undefined,
  ],
  lower: ({ inputs: [c, a, b] }) => ({ kind: "aten", key: "where.self", args: [c!, a!, b!] }),
  layout: "iterator",
} satisfies Operation);

/** a where the condition holds, else b. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const like: TensorType =
    typeof a !== "number" ? a : typeof b !== "number" ? b : { shape: [], dtype: "float32" };
  // A 0-dimensional operand of another float dtype is converted here: where() itself wants equal dtypes.
  const [x, y] = [asTensor(a, like), asTensor(b, like)];
  const dtype = resultType(x, y);
  return apply(whereOperation, [condition, cast(x, dtype), cast(y, dtype)]);
}

/** x with `value` where the mask is true. */
export const maskedFill = (x: Tensor, mask: Tensor, value: number): Tensor => where(mask, value, x);

/** x kept inside [min, max]; the gradient is 0 outside. NaN stays NaN. */
export function clamp(x: Tensor, min?: number, max?: number): Tensor {
  let result = x;
  if (min !== undefined) result = where(lt(result, min), min, result);
  if (max !== undefined) result = where(gt(result, max), max, result);
  return result;
}

// minimum and maximum share the gradient at 0, which gives both functions below their slope of 1/2 there.
/** log(sigmoid(x)) = min(x, 0) - log1p(e^-|x|). */
export const logSigmoid = (x: Tensor): Tensor => sub(minimum(x, 0), log1p(exp(neg(abs(x)))));

/** log(1 + e^x) = max(x, 0) + log1p(e^-|x|). */
export const softplus = (x: Tensor): Tensor => add(maximum(x, 0), log1p(exp(neg(abs(x)))));

const lerpOperation = register({
  name: "lerp",
  infer: ([a, b, weight]) => {
    if (a!.dtype !== b!.dtype || a!.dtype !== weight!.dtype)
      throw new TypeError("both ends and the weight must have one dtype; convert with to()");
    requireFloat(a!);
    return [{ shape: broadcastShapes(a!.shape, b!.shape, weight!.shape), dtype: a!.dtype }];
  },
  // d = (1 - w) da + w db + (b - a) dw
  vjp: ({ inputs: [a, b, weight], gradients: [g] }) => [
    mul(g!, sub(1, weight!)),
    mul(g!, weight!),
    mul(g!, sub(b!, a!)),
  ],
  lower: ({ inputs: [a, b, weight] }) => ({ kind: "aten", key: "lerp.Tensor", args: [a!, b!, weight!] }),
  layout: "iterator",
  inPlace: { key: "lerp_.Tensor", input: 0 },
} satisfies Operation);

/** a + w (b - a). */
export const lerp = (a: Tensor, b: Tensor, weight: Operand): Tensor =>
  apply(lerpOperation, [a, b, cast(asTensor(weight, a), a.dtype)]);

/** Gradient of {@link silu} at x, for gradient rules of functions that contain it. */
export const siluBackward = (g: Tensor, x: Tensor): Tensor => binary("silu_backward", g, x);
