import * as T from "../../../../src/tensor/index.js";
import { f, frozen, op } from "./case.js";

const x = frozen(f(2, 3, 16));
const weight = frozen(f(24, 16));
const bias = frozen(f(24));
const factor = frozen(f(2, 3, 24));
/** The dtypes that oneDNN packs; there are no gradients. */
const packs = { only: ["float32", "bfloat16"] } as const;

export const packedCases = [
  op("packedLinear", [x, weight], (a, w) => T.packedLinear(a, w), "F.linear(a, b)", packs),
  op(
    "packedLinear",
    [x, weight, bias],
    (a, w, b) => a.packedLinear(w, { bias: b, activation: "silu" }),
    "F.silu(F.linear(a.float(), b.float(), c.float())).to(a.dtype)",
    packs,
  ),
  op(
    "packedLinear",
    [frozen(f(1, 16)), weight],
    (a, w) => T.packedLinear(a, w, { activation: "tanh" }),
    "F.linear(a.float(), b.float()).tanh().to(a.dtype)",
    packs,
  ),
  op(
    "packedLinearTimes",
    [x, factor, weight, bias],
    (a, by, w, b) => T.packedLinearTimes(a, by, w, b),
    "(b.float() * F.linear(a.float(), c.float(), d.float())).to(a.dtype)",
    packs,
  ),
];
