/** @file Softmax and normalisations. */
import { dtypeCode, type DType } from "../../torch/dtype.js";
import { apply, applyAll, requireFloat, type Operation } from "../operation.js";
import { normalizeDim, sameShape, type Tensor } from "../tensor.js";
import { full } from "../leaf.js";
import { add, cast, div, maximum, mul, neg, rsqrt, sub } from "./elementwise.js";
import { sum } from "./reduce.js";
import { reshape } from "./shape.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

const softmaxFamily = (
  name: "softmax" | "log_softmax",
  forward: "_softmax" | "_log_softmax",
  backward: "_softmax_backward_data" | "_log_softmax_backward_data",
): Operation => {
  const backwardOperation = register({
    name: `${name}_backward`,
    infer: ([g]) => [{ shape: g!.shape, dtype: g!.dtype }],
    vjp: "none",
    lower: ({ inputs: [g, y], attributes: { dim }, outputs }) => ({
      kind: "aten",
      key: backward,
      args: [g!, y!, Number(dim), dtypeCode(outputs[0]!.dtype)],
    }),
    layout: "strict",
  } satisfies Operation);
  return register({
    name,
    infer: ([x]) => (requireFloat(x!), [{ shape: x!.shape, dtype: x!.dtype }]),
    // softmax: dx = y (g - sum(g y)); log_softmax: dx = g - e^y sum(g)
    vjp: ({ outputs: [y], gradients: [g], attributes }) => [
      apply(backwardOperation, [cast(g!, y!.dtype), y!], attributes),
    ],
    lower: ({ inputs: [x], attributes: { dim } }) => ({
      kind: "aten",
      key: forward,
      args: [x!, Number(dim), false],
    }),
    layout: "strict",
  });
};

const softmaxOperation = softmaxFamily("softmax", "_softmax", "_softmax_backward_data");
const logSoftmaxOperation = softmaxFamily("log_softmax", "_log_softmax", "_log_softmax_backward_data");

/** e^x / sum(e^x) along a dimension, computed in float32 for half precision; `dtype` converts x first. */
export const softmax = (x: Tensor, dim: number, dtype: DType = x.dtype): Tensor =>
  apply(softmaxOperation, [cast(x, dtype)], { dim: normalizeDim(dim, x.ndim) });
/** x - logsumexp(x) along a dimension; `dtype` converts x first. */
export const logSoftmax = (x: Tensor, dim: number, dtype: DType = x.dtype): Tensor =>
  apply(logSoftmaxOperation, [cast(x, dtype)], { dim: normalizeDim(dim, x.ndim) });

const rmsNormOperation = register({
  name: "rms_norm",
  infer: ([x]) => (
    requireFloat(x!),
    [
      { shape: x!.shape, dtype: x!.dtype },
      { shape: [...x!.shape.slice(0, -1), 1], dtype: x!.dtype },
    ]
  ),
  // y = x r with r = (mean(x^2) + eps)^(-1/2): dx = r g - x r^3 mean(g x), and -x r^3 h / n for a gradient h of r
  vjp: ({ inputs: [x], outputs: [, r], gradients: [g, h] }) => {
    const ofResult = g === undefined ? undefined : rmsNormGradient(g, x!, r!);
    if (h === undefined) return [ofResult];
    const cube = mul(mul(r!, r!), r!);
    const ofRoot = neg(mul(x!, mul(mul(h, 1 / x!.shape.at(-1)!), cube)));
    return [ofResult === undefined ? ofRoot : add(ofResult, ofRoot)];
  },
  lower: ({ inputs: [x], attributes: { eps } }) => ({
    kind: "aten",
    key: "_fused_rms_norm",
    args: [x!, [x!.shape.at(-1)!], null, Number(eps)],
  }),
  layout: "strict",
} satisfies Operation);

// dx = r g - x r^3 mean(g x) by ATen's kernel for the gradient of weight normalisation: v s / |v| with rows v is x r for
// s = sqrt(n) and |v| = sqrt(n) / r.
const rmsNormBackward = register({
  name: "rms_norm_backward",
  infer: ([g, , r]) => [g!, r!].map(({ shape, dtype }) => ({ shape, dtype })),
  // For a gradient h of dx, with a = sum(g x) / |v|^2 and b = sum(h x) / |v|^2: dg = r (h - b x), dx = -r (a h + b g),
  // ds = (sum(h g) - a b |v|^2) / |v|, d|v| = r (3 a b |v|^2 - sum(h g)) / |v|
  vjp: ({ inputs: [g, x, root, norm], gradients: [h, ofNorms] }) => {
    if (h === undefined || ofNorms !== undefined) throw new TypeError("only dx can be differentiated");
    const r = div(root!, norm!);
    const overRows = (y: Tensor): Tensor => sum(y, [-1], true);
    const square = mul(norm!, norm!);
    const [a, b] = [div(overRows(mul(g!, x!)), square), div(overRows(mul(h, x!)), square)];
    const [hg, cross] = [overRows(mul(h, g!)), mul(mul(a, b), square)];
    return [
      mul(r, sub(h, mul(b, x!))),
      neg(mul(r, add(mul(a, h), mul(b, g!)))),
      div(sub(hg, cross), norm!),
      div(mul(r, sub(mul(cross, 3), hg)), norm!),
    ];
  },
  lower: ({ inputs: [g, x, root, norm] }) => ({
    kind: "aten",
    key: "_weight_norm_interface_backward",
    args: [g!, x!, root!, norm!, 0],
  }),
  layout: "strict",
} satisfies Operation);

/** dx for rows x [..., n] that were divided by 1 / r, r [..., 1]. */
function rmsNormGradient(g: Tensor, x: Tensor, r: Tensor): Tensor {
  const size = x.shape.at(-1)!;
  const rows = r.numel;
  const root = full([rows, 1], Math.sqrt(size), x.dtype);
  const [dx] = applyAll(rmsNormBackward, [
    reshape(g, [rows, size]),
    reshape(x, [rows, size]),
    root,
    div(root, reshape(r, [rows, 1])),
  ]);
  return reshape(dx!, x.shape);
}

/**
 * x / sqrt(mean(x^2) + eps) over the last dimension, in float32 (Zhang & Sennrich 2019), times `weight` if given.
 * The result has the dtype of x.
 */
export function rmsNorm(x: Tensor, weight?: Tensor, eps = 1e-6): Tensor {
  const normed = applyAll(rmsNormOperation, [cast(x, x.dtype === "float64" ? "float64" : "float32")], {
    eps,
  })[0]!;
  return cast(weight === undefined ? normed : mul(normed, weight), x.dtype);
}

const layerNormOperation = register({
  name: "layer_norm",
  infer: ([x, weight, bias], { dims }) => {
    requireFloat(x!);
    const expected = x!.shape.slice(x!.shape.length - Number(dims));
    for (const part of [weight!, bias!]) {
      if (!sameShape(part.shape, expected))
        throw new TypeError(`weight and bias must both be [${expected.join(", ")}]`);
      const mixed = part.dtype === "float32" && (x!.dtype === "bfloat16" || x!.dtype === "float16");
      if (part.dtype !== weight!.dtype || (part.dtype !== x!.dtype && !mixed))
        throw new TypeError("weight and bias must have the input's dtype, or float32 beside half precision");
    }
    const rows = [
      ...x!.shape.slice(0, x!.shape.length - Number(dims)),
      ...new Array<number>(Number(dims)).fill(1),
    ];
    return [
      { shape: x!.shape, dtype: x!.dtype },
      { shape: rows, dtype: weight!.dtype },
      { shape: rows, dtype: weight!.dtype },
    ];
  },
  vjp: ({ inputs: [x, weight, bias], outputs: [, m, r], gradients: [g], attributes }) => [
    ...applyAll(layerNormBackward, [g!, x!, m!, r!, weight!, bias!], attributes),
  ],
  lower: ({ inputs: [x, weight, bias], attributes: { eps, dims } }) => ({
    kind: "aten",
    key: "native_layer_norm",
    args: [x!, x!.shape.slice(-Number(dims)), weight!, bias!, Number(eps)],
  }),
  layout: "strict",
} satisfies Operation);

const layerNormBackward = register({
  name: "layer_norm_backward",
  infer: ([, x, , , weight, bias]) => [x!, weight!, bias!].map(({ shape, dtype }) => ({ shape, dtype })),
  vjp: "none",
  lower: ({ inputs: [g, x, m, r, weight, bias], attributes: { dims } }) => ({
    kind: "aten",
    key: "native_layer_norm_backward",
    args: [g!, x!, x!.shape.slice(-Number(dims)), m!, r!, weight!, bias!, [true, true, true]],
  }),
  layout: "strict",
} satisfies Operation);

/**
 * (x - mean) / sqrt(var + eps) * weight + bias over the dimensions of `weight`, which are the last ones of x
 * (Ba et al. 2016).
 */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, eps = 1e-5): Tensor {
  return applyAll(layerNormOperation, [x, weight, bias], { eps, dims: weight.ndim })[0]!;
}

/** x / max(||x||, eps) along a dimension, as torch.nn.functional.normalize, computed in float32 or wider. */
export function normalize(x: Tensor, dim = -1, eps = 1e-12): Tensor {
  requireFloat(x);
  const wide = cast(x, x.dtype === "float64" ? "float64" : "float32");
  const squared = sum(mul(wide, wide), [dim], true);
  return cast(mul(wide, rsqrt(maximum(squared, eps * eps))), x.dtype);
}

/** -log softmax(logits)[label] for each row; logits [n, v], labels int64 [n]; computed in float32. */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  const wide = cast(logits, logits.dtype === "float64" ? "float64" : "float32");
  const chosen = reshape(wide.gather(1, reshape(labels, [labels.numel, 1])), [labels.numel]);
  return sub(wide.logsumexp([1]), chosen);
}
