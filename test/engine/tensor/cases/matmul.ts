import * as T from "../../../../src/tensor/index.js";
import { brain, f, half, op } from "./case.js";

export const matmulCases = [
  op("dot", [f(7), f(7)], (a, b) => a.dot(b), "a.dot(b)", brain),
  op("dot", [f(5)], (a) => a.dot(a), "a.dot(a)", half),
  op("dot", [f(0), f(0)], (a, b) => a.dot(b), "a.dot(b)"),
  op("mm", [f(3, 4), f(4, 5)], (a, b) => a.mm(b), "a.mm(b)", half),
  op("mm", [f(4, 3), f(5, 4)], (a, b) => a.t().mm(b.t()), "a.t().mm(b.t())", brain),
  op("mm", [f(3, 3)], (a) => a.mm(a), "a.mm(a)"),
  op("mm", [f(1, 4), f(4, 5)], (a, b) => a.expand([3, 4]).mm(b), "a.expand(3, 4).mm(b)"),
  op("mm", [f(2, 0), f(0, 3)], (a, b) => a.mm(b), "a.mm(b)"),
  op("bmm", [f(2, 3, 4), f(2, 4, 5)], (a, b) => a.bmm(b), "a.bmm(b)", half),
  op(
    "bmm",
    [f(2, 4, 3), f(4, 2, 5)],
    (a, b) => a.transpose(1, 2).bmm(b.transpose(0, 1)),
    "a.transpose(1, 2).bmm(b.transpose(0, 1))",
  ),
  op("matmul", [f(4), f(4)], (a, b) => a.matmul(b), "a @ b", brain),
  op("matmul", [f(4), f(4, 5)], (a, b) => a.matmul(b), "a @ b"),
  op("matmul", [f(4), f(2, 4, 5)], (a, b) => a.matmul(b), "a @ b"),
  op("matmul", [f(3, 4), f(4)], (a, b) => a.matmul(b), "a @ b"),
  op("matmul", [f(2, 3, 4), f(4)], (a, b) => a.matmul(b), "a @ b"),
  op("matmul", [f(3, 4), f(4, 5)], (a, b) => a.matmul(b), "a @ b", half),
  op("matmul", [f(2, 3, 4), f(4, 5)], (a, b) => a.matmul(b), "a @ b", brain),
  op("matmul", [f(3, 4), f(2, 4, 5)], (a, b) => a.matmul(b), "a @ b"),
  op("matmul", [f(2, 1, 3, 4), f(3, 4, 5)], (a, b) => a.matmul(b), "a @ b", brain),
  op("matmul", [f(2, 3, 0), f(0, 5)], (a, b) => a.matmul(b), "a @ b"),
  op("linear", [f(2, 3, 4), f(5, 4), f(5)], (x, w, b) => T.linear(x, w, b), "F.linear(a, b, c)", half),
  op("linear", [f(3, 4), f(5, 4)], (x, w) => x.linear(w), "F.linear(a, b)", brain),
  op("linear", [f(4), f(5, 4), f(5)], (x, w, b) => T.linear(x, w, b), "F.linear(a, b, c)"),
];
