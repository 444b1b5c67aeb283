import * as T from "../../../../src/tensor/index.js";
import { as, bool, brain, exact, f, half, int, op, plain, within } from "./case.js";

const kink = { kink: true };
const tied = exact([1, 3, 3, 2, 3, 0], 2, 3);

export const reduceCases = [
  op("sum", [f(3, 4)], (a) => a.sum(), "a.sum()", half),
  op("sum", [f(2, 3, 4)], (a) => a.sum(1), "a.sum(1)", brain),
  op("sum", [f(2, 3, 4)], (a) => a.sum([-1, 0], true), "a.sum([-1, 0], True)"),
  op("sum", [f()], (a) => a.sum(), "a.sum()"),
  op("sum", [f(0, 3)], (a) => a.sum(0), "a.sum(0)"),
  op("sum", [as("int32", int(-5, 5, 2, 3))], (a) => a.sum(0), "a.sum(0)", plain),
  op("sum", [bool(5)], (a) => a.sum(), "a.sum()", plain),
  op("sum", [as("int32", int(-5, 5))], (a) => a.sum(), "a.sum()", plain),
  op("mean", [f(3, 4)], (a) => a.mean(), "a.mean()", half),
  op("mean", [f(2, 3, 4)], (a) => a.mean([0, 2]), "a.mean([0, 2])", brain),
  op("mean", [f(2, 3)], (a) => a.mean(-1, true), "a.mean(-1, True)"),
  op("mean", [within(20000, 40000, 6)], (a) => a.mean(), "a.mean()", { also: ["float16"] }),
  op("variance", [f(3, 4)], (a) => a.variance(), "a.var()", half),
  op("variance", [f(3, 4)], (a) => a.variance(1), "a.var(1)", brain),
  op(
    "variance",
    [f(2, 3, 4)],
    (a) => a.variance([0, -1], true, 0),
    "a.var([0, -1], correction=0, keepdim=True)",
  ),
  op("amax", [f(3, 4)], (a) => a.amax(), "a.amax()", half),
  op("amax", [f(2, 3, 4)], (a) => a.amax([0, -1]), "a.amax([0, -1])"),
  op("amax", [tied], (a) => a.amax(1), "a.amax(1)", kink),
  op("amax", [tied], (a) => a.amax(undefined, true), "a.amax(keepdim=True)", kink),
  op("amax", [int(-9, 9, 2, 3)], (a) => a.amax(0), "a.amax(0)", plain),
  op("amin", [f(3, 4)], (a) => a.amin(-1, true), "a.amin(-1, True)", half),
  op("amin", [tied], (a) => a.amin(0), "a.amin(0)", kink),
  op("logsumexp", [f(3, 4)], (a) => a.logsumexp(1), "a.logsumexp(1)", brain),
  op("logsumexp", [f(2, 3)], (a) => a.logsumexp(), "a.logsumexp([0, 1])"),
  op("logsumexp", [within(80, 120, 2, 3)], (a) => a.logsumexp([0], true), "a.logsumexp([0], True)"),
  op("logsumexp", [exact([1, "-inf", 2, "-inf"], 2, 2)], (a) => a.logsumexp(1), "a.logsumexp(1)", kink),
  op("any", [bool(2, 3)], (a) => a.any(1), "a.any(1)", plain),
  op("any", [exact([0, 0, 1, 0], 2, 2)], (a) => a.any(), "a.any()", kink),
  op("any", [as("uint8", int(0, 2, 2, 3))], (a) => a.any(0), "a.bool().any(0)", plain),
  op("all", [bool(2, 3)], (a) => a.all(0, true), "a.all(0, True)", plain),
  op("all", [as("uint8", int(0, 2, 4))], (a) => a.all(), "a.bool().all()", plain),
  op("argmax", [f(3, 4)], (a) => a.argmax(), "a.argmax(-1)", brain),
  op("argmax", [tied], (a) => a.argmax(0, true), "a.argmax(0, True)", kink),
  op("argmin", [f(3, 4)], (a) => a.argmin(0), "a.argmin(0)"),
  op("cumsum", [f(3, 4)], (a) => a.cumsum(1), "a.cumsum(1)", brain),
  op("cumsum", [f(2, 3, 4)], (a) => a.cumsum(-3), "a.cumsum(-3)"),
  op("cumsum", [bool(6)], (a) => a.cumsum(0), "a.cumsum(0)", plain),
  op("topk", [f(3, 6)], (a) => pair(a.topk(2)), "tuple(a.topk(2))", brain),
  op("topk", [f(5, 3)], (a) => pair(a.topk(3, 0, false)), "tuple(a.topk(3, 0, largest=False))"),
  op("sort", [f(3, 6)], (a) => pair(a.sort()), "tuple(a.sort())", brain),
  op("sort", [f(4, 3)], (a) => pair(a.sort(0, true)), "tuple(a.sort(0, True))"),
  op("norm", [f(3, 4)], (a) => a.norm(), "torch.linalg.vector_norm(a)", half),
  op("norm", [f(3, 4)], (a) => a.norm(-1, true), "torch.linalg.vector_norm(a, dim=-1, keepdim=True)", brain),
  op("norm", [f(2, 3, 4)], (a) => a.norm(), "torch.linalg.vector_norm(a)"),
  op("norm", [f(2, 3, 2, 2)], (a) => a.norm([0, 1, -1]), "torch.linalg.vector_norm(a, dim=[0, 1, 3])"),
  op("norm", [exact([0, 0, 3, 4], 2, 2)], (a) => a.norm(1), "torch.linalg.vector_norm(a, dim=1)", kink),
  op("norm", [within(200, 400, 6)], (a) => a.norm(), "torch.linalg.vector_norm(a)", { also: ["float16"] }),
  op("sumTo", [f(2, 3, 4)], (a) => T.sumTo(a, [3, 1]), "a.sum(0).sum(-1, True)"),
  op("sumTo", [f(3, 4)], (a) => T.sumTo(a, []), "a.sum()"),
  op("sumTo", [f(3, 4)], (a) => T.sumTo(a, [1, 4]), "a.sum(0, True)", brain),
];

function pair({ values, indices }: { values: T.Tensor; indices: T.Tensor }): readonly T.Tensor[] {
  return [values, indices];
}
