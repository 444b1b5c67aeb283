/** @file Scaled dot-product attention with grouped key-value heads. */
import { applyAll, type Layout, type Operation } from "../operation.js";
import type { Tensor } from "../tensor.js";
import { add, cast, mul, tanh, where } from "./elementwise.js";
import { bmm } from "./matmul.js";
import { contiguous, expand, permute, reshape, transpose, tril, unsqueeze } from "./shape.js";
import { full, ones, zeros } from "../leaf.js";
import { dropout } from "./random.js";
import { softmax } from "./softmax.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

/** Layout of a [b, h, t, d] tensor whose memory is in the order [b, t, h, d], as the kernel leaves its results. */
function headsInner([b, h, t, d]: readonly number[]): Layout {
  return { sizes: [b!, h!, t!, d!], strides: [t! * h! * d!, d!, h! * d!, 1], offset: 0 };
}

const flashOperation = register({
  name: "flash_attention",
  infer: ([q, k, v]) => {
    const [b, h, t, d] = q!.shape;
    if (k!.shape[1] !== h || v!.shape[1] !== h || k!.shape[3] !== d)
      throw new TypeError("heads or head sizes differ");
    return [
      { shape: q!.shape, dtype: q!.dtype },
      { shape: [b!, h!, t!], dtype: q!.dtype === "float64" ? "float64" : "float32" },
    ];
  },
  vjp: ({ inputs: [q, k, v, bias], outputs: [y, logsumexp], gradients: [g], attributes, needs }) => {
    if (needs[3]) throw new TypeError("the flash kernel has no gradient for the bias; use kernel: products");
    return applyAll(flashBackward, [contiguous(g!), q!, k!, v!, y!, logsumexp!, bias!], attributes);
  },
  lower: ({ inputs: [q, k, v, bias], attributes: { scale } }) => ({
    kind: "aten",
    key: "_scaled_dot_product_flash_attention_for_cpu",
    args: [q!, k!, v!, 0, false, bias!, Number(scale)],
  }),
  outputLayouts: ({ outputs: [y, logsumexp] }) => {
    const [b, h, t] = logsumexp!.shape;
    return [headsInner(y!.shape), { sizes: [b!, h!, t!], strides: [h! * t!, 1, h!], offset: 0 }];
  },
} satisfies Operation);

const flashBackward = register({
  name: "flash_attention_backward",
  infer: ([, q, k, v]) => [q!, k!, v!].map(({ shape, dtype }) => ({ shape, dtype })),
  vjp: "none",
  lower: ({ inputs: [g, q, k, v, y, logsumexp, bias], attributes: { scale } }) => ({
    kind: "aten",
    key: "_scaled_dot_product_flash_attention_for_cpu_backward",
    args: [g!, q!, k!, v!, y!, logsumexp!, 0, false, bias!, Number(scale)],
  }),
  outputLayouts: ({ outputs }) => outputs.map((t) => headsInner(t.shape)),
} satisfies Operation);

export interface AttentionOptions {
  /** Added to the scores before the softmax; broadcasts to [batch, 1, queries, keys]; minus infinity hides a key. */
  readonly bias: Tensor;
  /** Factor of the scores; 1 / sqrt(head size) by default. */
  readonly scale?: number;
  /** Scores s become softcap * tanh(s / softcap) before the bias; only `products` can. */
  readonly softcap?: number;
  /** `products` writes the scores out, `flash` never does; by default the faster one for the shape. */
  readonly kernel?: "products" | "flash";
  /** Rate at which attention weights are dropped where randomness is on; only `products` can. */
  readonly dropout?: number;
}

/** From this many keys on the kernel that never writes the scores out is faster on the CPU. */
const flashFrom = 768;

/**
 * softmax(scale q k^T + bias) v, for each head; softmax(c tanh(scale q k^T / c) + bias) v with a soft cap c.
 *
 * @param q [batch, heads, queries, size]
 * @param k [batch, kvHeads, keys, size]; each key-value head serves heads / kvHeads query heads in a row
 * @param v [batch, kvHeads, keys, size]
 * @returns [batch, heads, queries, size]
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const [, heads = 0, queries = 0, size = 1] = q.shape;
  const [, kvHeads = 0, keys = 0] = k.shape;
  if (heads % kvHeads !== 0)
    throw new TypeError(`attention: ${heads} heads cannot share ${kvHeads} key-value heads`);
  const scale = options.scale ?? 1 / Math.sqrt(size);
  const rate = options.dropout ?? 0;
  const { softcap } = options;
  const flashes = keys >= flashFrom && queries > 1 && rate === 0 && softcap === undefined;
  const kernel = options.kernel ?? (flashes ? "flash" : "products");
  if (kernel === "flash" && softcap !== undefined)
    throw new TypeError("the flash kernel has no soft cap; use kernel: products");
  return kernel === "flash"
    ? flash(q, k, v, options.bias, scale)
    : products(q, k, v, options.bias, scale, rate, softcap);
}

/** The query heads of one key-value head become rows of one matrix, so that keys and values are never repeated. */
function products(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  bias: Tensor,
  scale: number,
  rate: number,
  softcap: number | undefined,
): Tensor {
  const [batch, heads, queries, size] = q.shape as readonly [number, number, number, number];
  const [, kvHeads, keys] = k.shape as readonly [number, number, number, number];
  const group = heads / kvHeads;
  const rows = reshape(scale === 1 ? q : mul(q, scale), [batch * kvHeads, group * queries, size]);
  const columns = transpose(reshape(k, [batch * kvHeads, keys, size]), 1, 2);
  const products = reshape(bmm(rows, columns), [batch, heads, queries, keys]);
  const scores = softcap === undefined ? products : mul(tanh(mul(products, 1 / softcap)), softcap);
  const weights = dropout(softmax(add(scores, cast(bias, scores.dtype)), -1), rate);
  const mixed = bmm(
    reshape(weights, [batch * kvHeads, group * queries, keys]),
    reshape(v, [batch * kvHeads, keys, size]),
  );
  return reshape(mixed, [batch, heads, queries, size]);
}

function flash(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: number): Tensor {
  const [batch, heads, queries] = q.shape as readonly [number, number, number];
  const [, kvHeads, keys, size] = k.shape as readonly [number, number, number, number];
  if (queries === 1 && heads > kvHeads) {
    // The query heads of one key-value head can be queries of one head, so that keys and values are not repeated.
    const grouped = reshape(q, [batch, kvHeads, heads / kvHeads, size]);
    return reshape(flash(grouped, k, v, bias, scale), q.shape);
  }
  const repeated = (x: Tensor): Tensor => {
    // The kernel takes for granted that the elements of a head lie side by side.
    const wide = expand(unsqueeze(contiguous(x), 2), [batch, kvHeads, heads / kvHeads, keys, size]);
    return reshape(wide, [batch, heads, keys, size]);
  };
  const mask = expand(cast(bias, q.dtype), [batch, 1, queries, keys]);
  // The layout of the result follows that of q in some versions and is heads inner in others.
  const inner = permute(contiguous(permute(q, [0, 2, 1, 3])), [0, 2, 1, 3]);
  return applyAll(flashOperation, [inner, repeated(k), repeated(v), mask], { scale })[0]!;
}

/**
 * Bias that lets each position see itself and those before it: [queries, keys], 0 or minus infinity. The last query
 * stands at the last key.
 */
export function causalBias(queries: number, keys: number): Tensor {
  const seen = tril(ones([queries, keys], "bool"), keys - queries);
  return where(seen, zeros([queries, keys]), full([], -Infinity));
}

/**
 * Bias that hides padded keys: from a mask [batch, keys] with 1 at real positions to [batch, 1, 1, keys]. The lowest
 * finite number stands for minus infinity, so that rows with nothing to see stay finite.
 */
export function paddingBias(mask: Tensor): Tensor {
  const [batch, keys] = mask.shape as readonly [number, number];
  return reshape(where(mask.ne(0), full([], 0), full([], -3e38)), [batch, 1, 1, keys]);
}
