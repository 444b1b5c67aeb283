/** @file What tracing refuses, and that the message says which operation, which shapes and why. */
import { describe, expect, it } from "vitest";
import * as T from "../../../src/tensor/index.js";
import type { DType } from "../../../src/torch/dtype.js";

const tensor = (shape: readonly number[], dtype: DType = "float32"): T.Tensor =>
  T.placeholder({ shape, dtype }, "x");

const x = tensor([2, 3]);
const scalar = tensor([]);
const ids = tensor([4], "int64");

const refused: readonly (readonly [string, () => unknown, RegExp])[] = [
  [
    "add of other shapes",
    () => x.add(tensor([4])),
    /add\(float32\[2, 3\], float32\[4\]\): shapes \[2, 3\] and \[4\] do not broadcast/,
  ],
  [
    "where of other shapes",
    () => T.where(tensor([5], "bool"), x, 0),
    /where\(bool\[5\], float32\[2, 3\], float32\[\]\)/,
  ],
  ["where without bool", () => T.where(x, x, 0), /condition must be bool, got float32/],
  [
    "mm of other inner sizes",
    () => x.mm(tensor([2, 3])),
    /mm\(float32\[2, 3\], float32\[2, 3\]\): inner sizes/,
  ],
  [
    "mm of other dtypes",
    () => x.mm(tensor([3, 2], "bfloat16")),
    /mm\(float32\[2, 3\], bfloat16\[3, 2\]\): dtypes float32 and bfloat16 differ; convert one with to\(\)/,
  ],
  [
    "bmm of other batches",
    () => tensor([2, 3, 4]).bmm(tensor([3, 4, 5])),
    /bmm\(float32\[2, 3, 4\], float32\[3, 4, 5\]\)/,
  ],
  ["matmul with a scalar", () => x.matmul(scalar), /operands with dimensions/],
  [
    "matmul of batches that do not broadcast",
    () => tensor([2, 3, 4]).matmul(tensor([3, 4, 5])),
    /shapes \[2\] and \[3\] do not broadcast/,
  ],
  [
    "reshape to another size",
    () => x.reshape([4]),
    /reshape\(float32\[2, 3\]\): has 6 elements, not those of \[4\]/,
  ],
  ["reshape with a size that does not divide", () => x.reshape([-1, 4]), /float32\[2, 3\].*\[-1, 4\]/],
  ["reshape with two free sizes", () => x.reshape([-1, -1]), /\[-1, -1\]/],
  ["reshape to a negative size", () => x.reshape([-2, -3]), /\[-2, -3\]/],
  [
    "permute that names a dimension twice",
    () => x.permute([0, 0]),
    /dims \[0, 0\] do not name each of 2 dimensions once/,
  ],
  ["permute that names too few", () => x.permute([0]), /dims \[0\]/],
  [
    "expand of a size above 1",
    () => x.expand([4, 3]),
    /expand\(float32\[2, 3\]\): cannot expand to \[4, 3\]/,
  ],
  ["slice without dimensions", () => scalar.slice(0), /no dimensions/],
  ["slice with a step of 0", () => x.slice(0, 0, 2, 0), /step = 0/],
  ["narrow past the end", () => x.narrow(1, 2, 2), /start = 2, length = 2: dimension 1 has 3 elements/],
  ["select past the end", () => x.select(0, 2), /index = 2: dimension 0 has 2 elements/],
  ["a dimension that is not there", () => x.sum(2), /dim = 2: a tensor with 2 dimensions takes -2 to 1/],
  ["a fractional dimension", () => x.softmax(0.5), /dim = 0\.5/],
  ["unsqueeze past the end", () => x.unsqueeze(3), /dim = 3: a tensor with 3 dimensions takes -3 to 2/],
  ["flatten from behind", () => x.flatten(1, 0), /start = 1, end = 0/],
  [
    "split that leaves something over",
    () => x.split([1, 1], 1),
    /sizes = \[1,1\]: dimension 1 has 3 elements/,
  ],
  ["split in pieces of 0", () => x.split(0), /sizes = 0/],
  ["cat of nothing", () => T.cat([]), /at least one tensor/],
  [
    "cat of other shapes",
    () => T.cat([x, tensor([2, 4])]),
    /cat\(float32\[2, 3\], float32\[2, 4\]\): shapes differ outside dimension 0/,
  ],
  ["cat without dimensions", () => T.cat([scalar, scalar]), /use stack/],
  ["repeat of too few dimensions", () => x.repeat([2]), /counts \[2\] must name each dimension/],
  ["pad by less than nothing", () => x.pad(0, -1, 0), /before = -1/],
  ["sum over no dimensions", () => x.sum([]), /dims = \[\]/],
  ["sum over a dimension twice", () => x.sum([0, -2]), /dims = \[0, 0\]: one occurs twice/],
  ["mean of integers", () => ids.mean(), /mean\(int64\[4\]\): input must have a float dtype, got int64/],
  ["logsumexp of integers", () => ids.logsumexp(), /float dtype, got int64/],
  ["exp of integers", () => ids.exp(), /exp\(int64\[4\]\): input must have a float dtype/],
  ["topk of more than there are", () => x.topk(4), /k = 4 is more than the dimension's 3/],
  ["gather by floats", () => x.gather(0, x), /index must be int64, got float32/],
  ["gather by an index of another rank", () => x.gather(0, ids), /gather\(float32\[2, 3\], int64\[4\]\)/],
  [
    "scatterAdd of another source",
    () => x.scatterAdd(0, tensor([2, 3], "int64"), tensor([1, 3])),
    /index and source differ in shape/,
  ],
  [
    "indexCopy of another source",
    () => x.indexCopy(0, tensor([1], "int64"), tensor([2, 3])),
    /source must be \[1, 3\]/,
  ],
  ["embedding by floats", () => T.embedding(x, x), /ids must be int64 or int32, got float32/],
  [
    "layerNorm with another weight",
    () => T.layerNorm(x, tensor([2]), tensor([2])),
    /weight and bias must both be \[3\]/,
  ],
  [
    "attention with heads that do not divide",
    () => T.attention(tensor([1, 3, 4, 8]), tensor([1, 2, 4, 8]), tensor([1, 2, 4, 8]), { bias: scalar }),
    /3 heads cannot share 2 key-value heads/,
  ],
  ["dropout of everything", () => T.dropout(x, 1), /rate = 1/],
  ["numbers only", () => T.add(1, 2), /at least one tensor/],
  ["ragged numbers", () => T.constant([[1, 2], [3]]), /ragged.*\[2, 2\]/],
  ["too few numbers", () => new T.HostTensor([1, 2], [3], "float32"), /2 elements.*\[3\] has 3/],
  [
    "gradient of a matrix",
    () => T.gradients(x.exp(), [x]),
    /A gradient needs a scalar, got float32\[2, 3\]\. Reduce it with sum\(\) or mean\(\), or give a cotangent/,
  ],
  ["gradient of integers", () => T.gradients(ids.sum(), []), /int64\[\] has no gradient/],
  ["gradient towards integers", () => T.gradients(x.sum(), [ids]), /int64\[4\] has no gradient/],
  [
    "cotangent of another shape",
    () => T.gradients(x.exp(), [x], scalar),
    /cotangent float32\[\] does not have the shape of float32\[2, 3\]/,
  ],
  [
    "derivative of a fused derivative",
    () => T.gradients(T.gradients(x.softmax(-1).square().sum(), [x])[0]!.sum(), [x]),
    /softmax_backward cannot be differentiated/,
  ],
  ["gradient of the flash kernel's bias", () => flashBias(), /no gradient for the bias/],
  ["custom gradient of the wrong number", () => wrongCount(), /2 gradients for 1 arguments/],
  [
    "custom gradient of the wrong shape",
    () => wrongShape(),
    /gradient of float32\[3, 2\] does not fit a tensor of shape \[2, 3\]/,
  ],
];

function flashBias(): unknown {
  const heads = tensor([1, 2, 4, 8]);
  const bias = tensor([4, 4]);
  return T.gradients(T.attention(heads, heads, heads, { bias, kernel: "flash" }).sum(), [bias]);
}

function wrongCount(): unknown {
  const [y] = T.customVjp(
    [x],
    (a) => ({ results: [a.exp()], keep: undefined }),
    ([g]) => [g, g],
  );
  return T.gradients(y!.sum(), [x]);
}

function wrongShape(): unknown {
  const [y] = T.customVjp(
    [x],
    (a) => ({ results: [a.exp()], keep: undefined }),
    ([g]) => [g!.t()],
  );
  return T.gradients(y!.sum(), [x]);
}

describe("tracing refuses", () => {
  it.each(refused)("%s", (_, body, message) => {
    expect(body).toThrow(message);
  });

  it("a placeholder of another trace", () => {
    const [mine, stranger] = [tensor([2]), tensor([2, 2])];
    expect(() => T.collect([mine], [mine.add(stranger)])).toThrow(
      /placeholder of another trace \(float32\[2, 2\]\).*as an argument instead of closing over it/,
    );
  });
});
