/** @file Programs as text: what tracing, differentiation and the passes make of small functions. */
import { describe, expect, it } from "vitest";
import * as T from "../../../src/tensor/index.js";
import { hoist } from "../../../src/tensor/passes/hoist.js";
import type { DType } from "../../../src/torch/dtype.js";

const input = (shape: readonly number[], dtype: DType = "float32"): T.Tensor =>
  T.placeholder({ shape, dtype }, "x");

const traced = (inputs: readonly T.Tensor[], outputs: readonly T.Tensor[]): T.Graph =>
  T.optimize(T.collect(inputs, outputs));

const text = (inputs: readonly T.Tensor[], outputs: readonly T.Tensor[]): string =>
  T.printGraph(traced(inputs, outputs));

describe("printed programs", () => {
  it("number values in order of execution and name attributes and constants", () => {
    const [x, y] = [input([2, 3]), input([3])];
    expect(text([x, y], [x.add(y, -1).mul(0.5).softmax(-1).slice(0, 0, 1)])).toMatchInlineSnapshot(`
      "inputs %0: float32[2, 3], %1: float32[3]
      %2: float32[2, 3] = add(%0, %1, alpha=-1)
      %3: float32[] = constant([0.5])
      %4: float32[2, 3] = mul(%2, %3)
      %5: float32[2, 3] = softmax(%4, dim=1)
      %6: float32[1, 3] = slice(%5, dim=0, start=0, end=1, step=1)
      return %6"
    `);
  });

  it("print alike when they are alike", () => {
    const build = (): string => {
      const x = input([4]);
      return text([x], [x.exp().sum()]);
    };
    expect(build()).toBe(build());
  });
});

describe("gradients", () => {
  it("of a product of matrices are products of matrices", () => {
    const [a, b] = [input([2, 3]), input([3, 4])];
    expect(text([a, b], T.gradients(a.mm(b).sum(), [a, b]))).toMatchInlineSnapshot(`
      "inputs %0: float32[2, 3], %1: float32[3, 4]
      %2: float32[] = constant(1)
      %3: float32[1, 1] = reshape(%2, shape=[1,1]) # backward
      %4: float32[2, 4] = expand(%3, shape=[2,4]) # backward
      %5: float32[4, 3] = permute(%1, dims=[1,0]) # backward
      %6: float32[2, 3] = mm(%4, %5) # backward
      %7: float32[3, 2] = permute(%0, dims=[1,0]) # backward
      %8: float32[3, 4] = mm(%7, %4) # backward
      return %6, %8"
    `);
  });

  it("of a linear layer's weight need one product and no copy of the transpose", () => {
    const [x, w] = [input([8, 3]), input([4, 3])];
    const graph = traced([x, w], T.gradients(x.linear(w).relu().sum(), [w]));
    expect(T.countOperations(graph)["mm"]).toBe(2);
    expect(T.countOperations(graph)["contiguous"]).toBeUndefined();
  });

  it("towards some inputs compute nothing for the others", () => {
    const [x, frozen, w] = [input([2, 3]), input([3, 3]), input([3, 4])];
    const loss = x.mm(frozen).tanh().mm(w).sum();
    const counts = T.countOperations(traced([x, frozen, w], T.gradients(loss, [w])));
    // Forward: the product with the frozen matrix; the last product is not needed for its own gradient.
    expect(counts["mm"]).toBe(2);
    expect(counts["tanh_backward"]).toBeUndefined();
  });

  it("stop at stopGradient", () => {
    const x = input([3]);
    expect(text([x], T.gradients(x.exp().stopGradient().sum(), [x]))).toMatchInlineSnapshot(`
      "inputs %0: float32[3]
      %1: float32[3] = constant(0)
      return %1"
    `);
  });

  it("of values used twice are added once", () => {
    const x = input([3]);
    expect(text([x], T.gradients(x.mul(x).sum(), [x]))).toMatchInlineSnapshot(`
      "inputs %0: float32[3]
      %1: float32[] = constant(1)
      %2: float32[1] = reshape(%1, shape=[1]) # backward
      %3: float32[3] = expand(%2, shape=[3]) # backward
      %4: float32[3] = mul(%3, %0) # backward
      %5: float32[3] = add(%4, %4, alpha=1) # backward
      return %5"
    `);
  });

  it("sum over what was broadcast", () => {
    const [x, bias] = [input([5, 3]), input([3])];
    expect(text([x, bias], T.gradients(x.add(bias).sum(), [bias]))).toMatchInlineSnapshot(`
      "inputs %0: float32[5, 3], %1: float32[3]
      %2: float32[] = constant(1)
      %3: float32[1, 1] = reshape(%2, shape=[1,1]) # backward
      %4: float32[5, 3] = expand(%3, shape=[5,3]) # backward
      %5: float32[1, 3] = sum(%4, dims=[0], keepdim=true) # backward
      %6: float32[3] = reshape(%5, shape=[3]) # backward
      return %6"
    `);
  });

  it("towards a value in the middle stand for themselves", () => {
    const x = input([3]);
    const middle = x.exp();
    const found = T.gradients(middle.mul(2).sum(), [x, middle]);
    expect(text([x], found)).toMatchInlineSnapshot(`
      "inputs %0: float32[3]
      %1: float32[3] = exp(%0)
      %2: float32[] = constant([2])
      %3: float32[] = constant(1)
      %4: float32[1] = reshape(%3, shape=[1]) # backward
      %5: float32[3] = expand(%4, shape=[3]) # backward
      %6: float32[3] = mul(%5, %2) # backward
      %7: float32[3] = mul(%6, %1) # backward
      return %7, %6"
    `);
  });
});

describe("dead code", () => {
  it("is not in the program", () => {
    const x = input([3]);
    x.exp().log().sin();
    const { values } = x.topk(2);
    x.layerNorm(x, x);
    expect(T.countOperations(traced([x], [values]))).toEqual({ input: 1, topk: 1 });
  });
});

describe("common subexpressions", () => {
  const counts = (...outputs: readonly T.Tensor[]): Record<string, number> =>
    T.countOperations(traced([x], outputs));
  const x = input([4]);

  it("are merged with all that follows from them", () => {
    expect(counts(x.exp().mul(2).add(x.exp().mul(2)))).toEqual({
      input: 1,
      constant: 1,
      exp: 1,
      mul: 1,
      add: 1,
    });
  });

  it("are merged between forward and backward code", () => {
    const y = x.sigmoid();
    const [g] = T.gradients(y.log().sum(), [x]);
    const all = counts(g!, x.sigmoid());
    expect(all["sigmoid"]).toBe(1);
  });

  it("are told apart by attributes", () => {
    expect(counts(x.sum(0), x.sum(0, true), x.softmax(0), x.softmax(-1))).toMatchObject({
      sum: 2,
      softmax: 1,
    });
  });

  it("are told apart by outputs", () => {
    const first = x.topk(2);
    const second = x.topk(2);
    const all = counts(first.values, second.indices, second.values);
    expect(all["topk"]).toBe(1);
  });

  it.each([
    ["equal numbers", 2, 2, 1],
    ["other numbers", 2, 3, 2],
    ["zeros of both signs", 0, -0, 2],
    ["not-a-number twice", NaN, NaN, 1],
  ])("count constants: %s", (_, a, b, expected) => {
    expect(counts(x.mul(a), x.mul(b))["mul"]).toBe(expected);
    const filled = [T.full([4], a), T.full([4], b)];
    expect(counts(x.add(filled[0]!), x.add(filled[1]!))["add"]).toBe(expected);
  });

  it("count constants by dtype and shape", () => {
    const ones = [T.ones([4]), T.ones([1]), T.ones([4], "float64")];
    expect(counts(...ones.map((t) => x.mul(t)))["mul"]).toBe(3);
  });

  it("leave custom gradients alone", () => {
    const custom = (factor: number): T.Tensor =>
      T.customVjp(
        [x],
        (a) => ({ results: [a.exp()], keep: factor }),
        ([g], k) => [g!.mul(k)],
      )[0]!;
    const [a] = T.gradients(custom(2).sum(), [x]);
    const [b] = T.gradients(custom(3).sum(), [x]);
    expect(counts(a!, b!)["constant"]).toBe(3);
  });
});

describe("hoisting", () => {
  const weight = parameterLike();
  const x = input([2, 3], "bfloat16");

  it("takes out what depends on parameters and constants alone", () => {
    const { program, derived } = hoist(
      traced([x], [x.mm(weight.to("bfloat16").t()).add(T.arange(0, 4).to("bfloat16"))]),
    );
    expect(derived.map((d) => T.printGraph(d.program))).toMatchInlineSnapshot(`
      [
        "inputs none
      %0: float32[4, 3] = parameter()
      %1: bfloat16[4, 3] = to(%0, dtype="bfloat16")
      return %1",
        "inputs none
      %0: int64[4] = constant([0, 1, 2, 3])
      %1: bfloat16[4] = to(%0, dtype="bfloat16")
      return %1",
      ]
    `);
    expect(T.printGraph(program)).toMatchInlineSnapshot(`
      "inputs %0: bfloat16[2, 3]
      %1: bfloat16[4, 3] = derived()
      %2: bfloat16[3, 4] = permute(%1, dims=[1,0])
      %3: bfloat16[2, 4] = mm(%0, %2)
      %4: bfloat16[4] = derived()
      %5: bfloat16[2, 4] = add(%3, %4, alpha=1)
      return %5"
    `);
  });

  it("gives equal values equal keys, whichever program they stand in", () => {
    const keys = (y: T.Tensor): string[] => hoist(traced([x], [y])).derived.map((d) => d.key);
    const half = (): T.Tensor => weight.to("bfloat16");
    expect(keys(x.mm(half().t()))).toEqual(keys(x.mul(2).mm(half().t()).exp()));
    expect(keys(x.mm(half().t()))).not.toEqual(keys(x.mm(parameterLike().to("bfloat16").t())));
  });

  it("tells constants apart that print alike", () => {
    const keys = [0, -0].map((zero) => {
      const value = T.full([3], zero).reciprocal().to("bfloat16");
      return hoist(traced([x], [x.add(value)])).derived[0]!.key;
    });
    expect(keys[0]).not.toBe(keys[1]);
    const big = [2n ** 53n, 2n ** 53n + 1n].map((n) => {
      const value = T.constant(new T.HostTensor(new BigInt64Array([n]), [1], "int64")).bitwiseNot();
      return hoist(traced([x], [x.mul(value)])).derived[0]!.key;
    });
    expect(big[0]).not.toBe(big[1]);
  });
});

/** A parameter without memory: programs that are only printed never read its value. */
function parameterLike(): T.Parameter {
  const value = { shape: [4, 3], dtype: "float32", dispose: () => undefined };
  return new T.Parameter(value as unknown as ConstructorParameters<typeof T.Parameter>[0]);
}
