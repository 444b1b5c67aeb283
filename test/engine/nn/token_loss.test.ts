/** @file The chunked token loss against the plain one, computed in JavaScript's doubles. */
import { beforeAll, describe, expect, it } from "vitest";
import { tokenLoss } from "../../../src/nn/index.js";
import { Random } from "../../../src/random.js";
import {
  collect,
  compile,
  countOperations,
  gradients,
  HostTensor,
  optimize,
  placeholder,
  type Tensor,
} from "../../../src/tensor/index.js";
import type { DType } from "../../../src/torch/dtype.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose } from "../fixtures.js";

beforeAll(() => loadTorch());

const [rows, size, vocabulary] = [12, 6, 9];
const random = new Random(3, "token loss");
const draw = (count: number): number[] => Array.from({ length: count }, () => Math.fround(random.normal()));
const hidden = draw(rows * size);
const weight = draw(vocabulary * size);
// Row 4 predicts two labels, rows come in any order, and the last two places only fill a bucket.
const positions = [7, 4, 0, 4, 11, 2, 9, 0, 0];
const labels = [3, 0, 8, 5, 1, 1, 7, 0, 0];
const weights = [1, 1, 0.5, 2, 1, 1, 1, 0, 0];

/** Value and gradients by the definition: -w log softmax(h W^T)[label], and (softmax - onehot) w. */
function expected(): { readonly value: number; readonly dHidden: number[]; readonly dWeight: number[] } {
  const [dHidden, dWeight] = [hidden.map(() => 0), weight.map(() => 0)];
  let value = 0;
  positions.forEach((row, n) => {
    const logits = Array.from({ length: vocabulary }, (_, v) =>
      Array.from({ length: size }, (_, k) => hidden[row * size + k]! * weight[v * size + k]!).reduce(
        (a, b) => a + b,
      ),
    );
    const total = logits.reduce((sum, x) => sum + Math.exp(x), 0);
    value -= weights[n]! * (logits[labels[n]!]! - Math.log(total));
    logits.forEach((x, v) => {
      const slope = weights[n]! * (Math.exp(x) / total - (v === labels[n] ? 1 : 0));
      for (let k = 0; k < size; k++) {
        dHidden[row * size + k]! += slope * weight[v * size + k]!;
        dWeight[v * size + k]! += slope * hidden[row * size + k]!;
      }
    });
  });
  return { value, dHidden, dWeight };
}

/** Three times the loss, so that a gradient that arrives is passed on, not taken for 1. */
function loss(
  h: Tensor,
  w: Tensor,
  at: Tensor,
  label: Tensor,
  part: Tensor,
  chunk: number,
  dtype: DType,
): Tensor {
  const input = { hidden: h.to(dtype), weight: w, positions: at, labels: label, weights: part, chunk };
  return tokenLoss(input).mul(3);
}

const feeds = () =>
  [
    // Hidden states of a batch: [3, 4, size].
    new HostTensor(hidden, [3, 4, size], "float32"),
    new HostTensor(weight, [vocabulary, size], "float32"),
    HostTensor.from(positions, "int64"),
    HostTensor.from(labels, "int64"),
    HostTensor.from(weights),
  ] as const;

describe("tokenLoss", () => {
  it.each([1, 2, 4, 9, 128])("in chunks of %d is the plain loss, with its gradients", async (chunk) => {
    const run = compile((...[h, w, at, label, part]: [Tensor, Tensor, Tensor, Tensor, Tensor]) => {
      const value = loss(h, w, at, label, part, chunk, "float32");
      const [dHidden, dWeight] = gradients(value, [h, w]);
      return { value, dHidden: dHidden!, dWeight: dWeight! };
    });
    const { value, dHidden, dWeight } = await run(...feeds());
    run.dispose();
    const plain = expected();
    const tripled = (values: readonly number[], shape: number[]) => ({
      shape,
      values: values.map((x) => 3 * x),
    });
    expect(value.dtype).toBe("float32");
    expectClose(value, tripled([plain.value], []), "the loss");
    expectClose(dHidden, tripled(plain.dHidden, [3, 4, size]), "the gradient of the hidden states");
    expectClose(dWeight, tripled(plain.dWeight, [vocabulary, size]), "the gradient of the head");
  });

  it.each(["bfloat16", "float16"] as const)("in %s sums in float32", async (dtype) => {
    const run = compile((...[h, w, at, label, part]: [Tensor, Tensor, Tensor, Tensor, Tensor]) => {
      const value = loss(h, w, at, label, part, 4, dtype);
      return { value, dHidden: gradients(value, [h])[0]! };
    });
    const { value, dHidden } = await run(...feeds());
    run.dispose();
    const plain = expected();
    expect(value.dtype).toBe("float32");
    expect(Math.abs(value.item() / (3 * plain.value) - 1)).toBeLessThan(0.01);
    expectClose(dHidden, { shape: [3, 4, size], values: plain.dHidden.map((x) => 3 * x) }, "gradient", 0.02);
  });

  it("computes no gradient where none is asked for, and none of a frozen head", () => {
    const types = feeds().map(({ shape, dtype }) => ({ shape, dtype }));
    const places = types.map((type, i) => placeholder(type, String(i)));
    const [h, w, at, label, part] = places as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const value = loss(h, w, at, label, part, 4, "float32");
    const products = (...outputs: Tensor[]): number => {
      const counts = countOperations(optimize(collect(places, outputs)));
      return Object.entries(counts).reduce(
        (sum, [name, n]) => sum + (/^(mm|matmul|linear)$/.test(name) ? n : 0),
        0,
      );
    };
    // 9 labels in chunks of 4 are 3 chunks: logits only, then with the gradient of the rows, then of both.
    expect(products(value)).toBe(3);
    expect(products(value, ...gradients(value, [h]))).toBe(6);
    expect(products(value, ...gradients(value, [h, w]))).toBe(9);
  });
});
