import * as T from "../../../../src/tensor/index.js";
import { readProcessor } from "../../../../src/torch/environment.js";
import { f, frozen, op } from "./case.js";

const weight = frozen(f(24, 16));
/** The dtypes that oneDNN packs on this processor; there are no gradients. */
const packsBfloat16 = readProcessor().features.some((feature) => ["avx512f", "bf16"].includes(feature));
const packs = { only: packsBfloat16 ? (["float32", "bfloat16"] as const) : (["float32"] as const) };

export const packedCases = [
  op("packedLinear", [frozen(f(2, 3, 16)), weight], (x, w) => T.packedLinear(x, w), "F.linear(a, b)", packs),
  op("packedLinear", [frozen(f(16)), weight], (x, w) => x.packedLinear(w), "F.linear(a, b)", packs),
  op("packedLinear", [frozen(f(0, 16)), weight], (x, w) => x.packedLinear(w), "F.linear(a, b)", packs),
  op(
    "packedLinear",
    [frozen(f(5, 16)), weight, frozen(f(24))],
    (x, w, b) => T.packedLinear(x, w, b),
    "F.linear(a, b, c)",
    packs,
  ),
];
