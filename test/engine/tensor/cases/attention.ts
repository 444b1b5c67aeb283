import * as T from "../../../../src/tensor/index.js";
import { brain, f, frozen, int, op } from "./case.js";

const flash = { kernel: "flash" } as const;
const products = { kernel: "products" } as const;
const options = { ...brain, once: true };

export const attentionCases = [
  op(
    "attention",
    [f(2, 4, 3, 8), f(2, 2, 5, 8), f(2, 2, 5, 8), f(2, 1, 3, 5)],
    (q, k, v, bias) => T.attention(q, k, v, { bias, ...products }),
    "attention(a, b, c, d)",
    options,
  ),
  op(
    "attention",
    [f(1, 2, 1, 4), f(1, 2, 6, 4), f(1, 2, 6, 4), f(1, 6)],
    (q, k, v, bias) => T.attention(q, k, v, { bias, scale: 0.3 }),
    "attention(a, b, c, d, 0.3)",
    options,
  ),
  op(
    "attention",
    [f(2, 4, 5, 8), f(2, 2, 5, 8), f(2, 2, 5, 8)],
    (q, k, v) => T.attention(q, k, v, { bias: T.causalBias(5, 5), ...products }),
    "attention(a, b, c, causal(5, 5, a.dtype))",
    options,
  ),
  op(
    "attention",
    [f(2, 4, 3, 8), f(2, 2, 5, 8), f(2, 2, 5, 8), f(2, 1, 3, 5)],
    (q, k, v, bias) => T.attention(q, k, v, { bias, softcap: 0.7 }),
    "capped(a, b, c, d, 0.7)",
    options,
  ),
  op(
    "attention",
    [f(2, 4, 3, 8), f(2, 2, 5, 8), f(2, 2, 5, 8), frozen(f(2, 1, 3, 5))],
    (q, k, v, bias) => T.attention(q, k, v, { bias, ...flash }),
    "attention(a, b, c, d)",
    { ...options, loose: { float32: 5e-5 } },
  ),
  op(
    "attention",
    [f(2, 2, 5, 8), f(2, 2, 5, 8), f(2, 2, 5, 8)],
    (q, k, v) => T.attention(q, k, v, { bias: T.causalBias(5, 5), ...flash, scale: 0.5 }),
    "attention(a, b, c, causal(5, 5, a.dtype), 0.5)",
    { ...options, loose: { float32: 5e-5 } },
  ),
  op(
    "attention",
    [f(2, 6, 1, 8), f(2, 2, 5, 8), f(2, 2, 5, 8), frozen(f(2, 1, 1, 5))],
    (q, k, v, bias) => T.attention(q, k, v, { bias, ...flash }),
    "attention(a, b, c, d)",
    { ...options, loose: { float32: 5e-5 } },
  ),
  op("causalBias", [], () => T.causalBias(3, 5), "causal(3, 5, torch.float32)", { only: ["float32"] }),
  op(
    "paddingBias",
    [int(0, 2, 2, 5)],
    (mask) => T.paddingBias(mask),
    "torch.where(a != 0, 0.0, -3e38).reshape(2, 1, 1, 5)",
    { only: ["float32"] },
  ),
];
