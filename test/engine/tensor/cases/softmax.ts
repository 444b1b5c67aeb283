import * as T from "../../../../src/tensor/index.js";
import { as, brain, exact, f, half, int, op, positive, within } from "./case.js";

const once = { once: true };

export const softmaxCases = [
  op("softmax", [f(3, 4)], (a) => a.softmax(-1), "a.softmax(-1)", { ...half, ...once }),
  op("softmax", [f(2, 3, 4)], (a) => a.softmax(1), "a.softmax(1)", once),
  op("softmax", [f(3, 4)], (a) => a.softmax(0, "float64"), "a.softmax(0, dtype=torch.float64)", {
    ...brain,
    ...once,
  }),
  op("softmax", [within(80, 120, 3)], (a) => a.softmax(0), "a.softmax(0)", once),
  op("softmax", [exact([1, "-inf", 2])], (a) => a.softmax(0), "a.softmax(0)", { kink: true }),
  op("logSoftmax", [f(3, 4)], (a) => a.logSoftmax(-1), "a.log_softmax(-1)", { ...half, ...once }),
  op("logSoftmax", [f(2, 3, 4)], (a) => a.logSoftmax(0), "a.log_softmax(0)", once),
  op("logSoftmax", [f(3, 4)], (a) => a.logSoftmax(1, "float32"), "a.log_softmax(1, dtype=torch.float32)", {
    only: ["bfloat16"],
  }),
  op("rmsNorm", [f(2, 3, 8)], (a) => a.rmsNorm(), "rms_norm(a, None, 1e-6)", half),
  op("rmsNorm", [f(3, 8), f(8)], (a, w) => a.rmsNorm(w, 1e-2), "rms_norm(a, b, 1e-2)", half),
  op("rmsNorm", [f(8), f(8)], (a, w) => a.rmsNorm(w), "rms_norm(a, b, 1e-6)"),
  op("layerNorm", [f(3, 8), f(8), f(8)], (a, w, b) => T.layerNorm(a, w, b), "F.layer_norm(a, (8,), b, c)", {
    ...half,
    ...once,
  }),
  op(
    "layerNorm",
    [f(2, 3, 4), f(3, 4), f(3, 4)],
    (a, w, b) => T.layerNorm(a, w, b, 1e-2),
    "F.layer_norm(a, (3, 4), b, c, 1e-2)",
    once,
  ),
  op(
    "layerNorm",
    [f(3, 8), as("float32", f(8)), as("float32", f(8))],
    (a, w, b) => T.layerNorm(a, w, b),
    "F.layer_norm(a, (8,), b, c)",
    { only: ["bfloat16"] },
  ),
  op("normalize", [f(3, 4)], (a) => a.normalize(), "F.normalize(a, dim=-1)", half),
  op("normalize", [f(3, 4)], (a) => a.normalize(0), "F.normalize(a, dim=0)"),
  op("normalize", [exact([0, 0, 3, 4], 2, 2)], (a) => a.normalize(1, 0.5), "F.normalize(a, dim=1, eps=0.5)", {
    kink: true,
  }),
  op("normalize", [within(200, 400, 6)], (a) => a.normalize(), "F.normalize(a, dim=-1)", {
    also: ["float16"],
  }),
  op(
    "crossEntropy",
    [f(3, 5), int(0, 5, 3)],
    (a, y) => T.crossEntropy(a, y),
    "F.cross_entropy(a.float() if a.dtype != torch.float64 else a, b, reduction='none')",
    half,
  ),
  op(
    "crossEntropy",
    [positive(2, 5), int(0, 5, 2)],
    (a, y) => T.crossEntropy(a.mul(40), y),
    "F.cross_entropy(a * 40, b, reduction='none')",
  ),
];
