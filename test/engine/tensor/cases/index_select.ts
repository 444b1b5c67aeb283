import * as T from "../../../../src/tensor/index.js";
import { as, brain, f, half, int, ints, op } from "./case.js";

export const indexCases = [
  op("embedding", [f(5, 3), int(0, 5, 2, 4)], (w, i) => T.embedding(w, i), "F.embedding(b, a)", half),
  op("embedding", [f(5, 3), ints([1, 1, 1])], (w, i) => T.embedding(w, i), "F.embedding(b, a)"),
  op("embedding", [f(5, 3), as("int32", int(0, 5, 4))], (w, i) => T.embedding(w, i), "F.embedding(b, a)"),
  op("gather", [f(3, 4), int(0, 4, 3, 2)], (a, i) => a.gather(1, i), "a.gather(1, b)", brain),
  op("gather", [f(3, 4), int(0, 3, 5, 2)], (a, i) => a.gather(0, i), "a.gather(0, b)"),
  op("gather", [f(2, 3, 4), int(0, 4, 2, 3, 1)], (a, i) => a.gather(-1, i), "a.gather(-1, b)"),
  op("gather", [int(0, 9, 6), int(0, 6, 4)], (a, i) => a.gather(0, i), "a.gather(0, b)", {
    only: ["float32"],
  }),
  op(
    "scatterAdd",
    [f(3, 4), ints([0, 2, 2, 1, 1, 1], 3, 2), f(3, 2)],
    (a, i, b) => a.scatterAdd(1, i, b),
    "a.scatter_add(1, b, c)",
    brain,
  ),
  op(
    "scatterAdd",
    [f(3, 4), int(0, 3, 5, 4), f(5, 4)],
    (a, i, b) => a.scatterAdd(-2, i, b),
    "a.scatter_add(-2, b, c)",
  ),
  op("indexSelect", [f(5, 3), ints([4, 0, 4])], (a, i) => a.indexSelect(0, i), "a.index_select(0, b)", half),
  op(
    "indexSelect",
    [f(3, 5), ints([4, 0, 4])],
    (a, i) => a.indexSelect(-1, i),
    "a.index_select(-1, b)",
    brain,
  ),
  op(
    "indexSelect",
    [f(2, 3, 4), as("int32", ints([2, 2]))],
    (a, i) => a.indexSelect(1, i),
    "a.index_select(1, b)",
  ),
  op("indexSelect", [f(6), ints([5, 5, 0])], (a, i) => a.indexSelect(0, i), "a.index_select(0, b)"),
  op(
    "indexCopy",
    [f(5, 3), ints([3, 0]), f(2, 3)],
    (a, i, b) => a.indexCopy(0, i, b),
    "a.index_copy(0, b, c)",
    brain,
  ),
  op(
    "indexCopy",
    [f(2, 5, 3), ints([4, 1, 2]), f(2, 3, 3)],
    (a, i, b) => a.indexCopy(1, i, b),
    "a.index_copy(1, b, c)",
  ),
];
