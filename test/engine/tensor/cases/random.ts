import * as T from "../../../../src/tensor/index.js";
import { as, brain, f, ints, op } from "./case.js";

const key = as("int32", ints([123456789, -987654321]));
const other = as("int32", ints([0, 1]));
const single = { only: ["float32"] } as const;

export const randomCases = [
  op("uniform", [key], (k) => T.uniform([3, 7], k, 0), "uniform((3, 7), a, 0)", single),
  op("uniform", [other], (k) => T.uniform([10], k, 5), "uniform((10,), a, 5)", single),
  op("normal", [key], (k) => T.normal([3, 5], k, 2), "normal((3, 5), a, 2)", single),
  op(
    "dropout",
    [f(3, 8), key],
    (x, k) => T.withRandomKey(k, () => T.dropout(x, 0.3)),
    "dropout(a, 0.3, b, 0)",
    brain,
  ),
  op(
    "withRandomKey",
    [f(9), f(9), key],
    (x, y, k) => T.withRandomKey(k, () => [T.dropout(x, 0.5), T.dropout(y, 0.5)]),
    "(dropout(a, 0.5, c, 0), dropout(b, 0.5, c, 1))",
  ),
];
