/** @file Layers by their formulas, in JavaScript's doubles; and modules: names, sharing, initial values. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  applyRotary,
  Embedding,
  GatedMLP,
  kaimingUniform,
  Linear,
  linearTogether,
  Module,
  normalInit,
  RMSNorm,
  rotaryTables,
  uniformInit,
  xavierUniform,
} from "../../../src/nn/index.js";
import { Random } from "../../../src/random.js";
import {
  compile,
  constant,
  evaluate,
  gradients,
  Parameter,
  tensor,
  type Tensor,
} from "../../../src/tensor/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference } from "../fixtures.js";

beforeAll(() => loadTorch());

const numbers = async (x: Tensor): Promise<number[]> => {
  using value = await evaluate(x);
  return value.toNumbers();
};
const parameter = (shape: readonly number[], values: readonly number[]): Parameter =>
  new Parameter(DeviceTensor.fromHost([...values], shape, "float32"));
const close = (actual: readonly number[], expected: readonly number[], tolerance = 1e-6): void =>
  expect(largestDifference(actual, expected), `${actual.join(" ")}, not ${expected.join(" ")}`).toBeLessThan(
    tolerance,
  );

describe("layers", () => {
  it("Linear is x W^T + b, with the adapter's share", async () => {
    const layer = new Linear(parameter([2, 3], [1, 2, 3, 4, 5, 6]), parameter([2], [0.5, -0.5]));
    const x = constant([[1, 0, -1]]);
    close(await numbers(layer.forward(x)), [-1.5, -2.5]);
    class Twice extends Module {
      delta = (y: Tensor): Tensor => y.slice(-1, 0, 2).mul(2);
      merged = (weight: Tensor): Tensor => weight;
    }
    layer.adapter = new Twice();
    close(await numbers(layer.forward(x)), [0.5, -2.5]);
    const [a, b] = linearTogether([layer, layer], x);
    close([...(await numbers(a)), ...(await numbers(b))], [0.5, -2.5, 0.5, -2.5]);
  });

  it("Linear computes in the dtype of its input", () => {
    const layer = new Linear(parameter([2, 3], [1, 2, 3, 4, 5, 6]));
    expect(layer.forward(constant([[1, 2, 3]], "bfloat16")).dtype).toBe("bfloat16");
  });

  it("Embedding takes rows", async () => {
    const table = new Embedding(parameter([3, 2], [1, 2, 3, 4, 5, 6]));
    close(await numbers(table.forward(constant([[2, 0]], "int64"))), [5, 6, 1, 2]);
  });

  it("RMSNorm divides by the root of the mean square, computed in float32", async () => {
    const norm = new RMSNorm(parameter([2], [1, 10]), 0.5);
    // mean(9, 16) + 0.5 = 13
    close(await numbers(norm.forward(constant([[3, 4]]))), [3 / Math.sqrt(13), 40 / Math.sqrt(13)]);
    // One square of 300 is beyond the range of float16 already.
    const wide = new RMSNorm(parameter([300], Array<number>(300).fill(1)), 0);
    const y = wide.forward(constant([Array<number>(300).fill(300)], "float16"));
    expect(y.dtype).toBe("float16");
    close(await numbers(y), Array<number>(300).fill(1));
  });

  it.each(["silu", "gelu", "gelu_tanh"] as const)("GatedMLP with %s", async (activation) => {
    const [gate, up, down] = [
      [0.5, -1, 2, 0.25],
      [1, 2, -0.5, 1],
      [1, -1],
    ];
    const mlp = new GatedMLP(
      new Linear(parameter([2, 2], gate)),
      new Linear(parameter([2, 2], up)),
      new Linear(parameter([1, 2], down)),
      activation,
    );
    const act = {
      silu: (x: number) => x / (1 + Math.exp(-x)),
      // erf by its series; the arguments are small.
      gelu: (x: number) => {
        const z = x / Math.SQRT2;
        let [sum, term] = [0, z];
        for (let n = 0; n < 40; n++) {
          sum += term / (2 * n + 1);
          term *= -(z * z) / (n + 1);
        }
        return (x / 2) * (1 + (2 / Math.sqrt(Math.PI)) * sum);
      },
      gelu_tanh: (x: number) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    }[activation];
    const f = (x: number, y: number): number =>
      act(0.5 * x - y) * (x + 2 * y) - act(2 * x + 0.25 * y) * (-0.5 * x + y);
    const run = compile((x: Tensor) => {
      const y = mlp.forward(x);
      return { y, g: gradients(y.sum(), [x])[0]! };
    });
    const { y, g } = await run(tensor([[0.7, -0.4]]));
    close(y.toNumbers(), [f(0.7, -0.4)]);
    const h = 1e-5;
    close(
      g.toNumbers(),
      [(f(0.7 + h, -0.4) - f(0.7 - h, -0.4)) / (2 * h), (f(0.7, -0.4 + h) - f(0.7, -0.4 - h)) / (2 * h)],
      1e-5,
    );
    run.dispose();
  });
});

describe("rotary embeddings", () => {
  const frequencies = constant([1, 0.1]);
  const x = [1, 2, 3, 4];
  /** Pairs are (0, 2) and (1, 3). */
  const turned = (position: number): number[] => {
    const [a, b] = [position, 0.1 * position];
    return [
      x[0]! * Math.cos(a) - x[2]! * Math.sin(a),
      x[1]! * Math.cos(b) - x[3]! * Math.sin(b),
      x[2]! * Math.cos(a) + x[0]! * Math.sin(a),
      x[3]! * Math.cos(b) + x[1]! * Math.sin(b),
    ];
  };

  it("turn each half-split pair by position times frequency, for positions of all rows or of each", async () => {
    const shared = rotaryTables(constant([0, 3], "int64"), frequencies);
    const two = constant([[[x, x]]]);
    close(await numbers(applyRotary(two, shared)), [...turned(0), ...turned(3)], 1e-5);
    const own = rotaryTables(constant([[5], [7]], "int64"), frequencies);
    const rows = constant([[[x]], [[x]]]);
    close(await numbers(applyRotary(rows, own)), [...turned(5), ...turned(7)], 1e-5);
    close(
      await numbers(applyRotary(rows, own, 0.5)),
      [...turned(5), ...turned(7)].map((v) => v / 2),
      1e-5,
    );
  });

  it("turn gradients back", async () => {
    const run = compile((input: Tensor, weights: Tensor) => {
      const y = applyRotary(input, rotaryTables(constant([2], "int64"), frequencies), 3);
      return gradients(y.mul(weights).sum(), [input])[0]!;
    });
    const w = [0.3, -1, 2, 0.5];
    const gradient = (await run(tensor([[[x]]]), tensor([[[w]]]))).toNumbers();
    const [a, b] = [2, 0.2];
    close(
      gradient,
      [
        w[0]! * Math.cos(a) + w[2]! * Math.sin(a),
        w[1]! * Math.cos(b) + w[3]! * Math.sin(b),
        -w[0]! * Math.sin(a) + w[2]! * Math.cos(a),
        -w[1]! * Math.sin(b) + w[3]! * Math.cos(b),
      ].map((v) => 3 * v),
      1e-5,
    );
    run.dispose();
  });
});

describe("modules", () => {
  class Pair extends Module {
    readonly firstPart: Linear;
    readonly parts: readonly Linear[];
    constructor(first: Parameter, second: Parameter) {
      super();
      this.firstPart = new Linear(first);
      this.parts = [new Linear(second), new Linear(first)];
    }
  }

  it("name parameters by path in snake case, a shared one once, and find them by name", () => {
    const [a, b] = [parameter([1, 1], [1]), parameter([1, 1], [2])];
    const pair = new Pair(a, b);
    expect([...pair.namedParameters()]).toEqual([
      ["first_part.weight", a],
      ["parts.0.weight", b],
    ]);
    expect(pair.parameter("parts.0.weight")).toBe(b);
    expect(() => pair.parameter("parts.7.weight")).toThrow(
      /parameter = parts\.7\.weight: is not in this Pair/,
    );
    expect([...pair.namedModules()].map(([path]) => path)).toEqual(["", "first_part", "parts.0", "parts.1"]);
  });

  it("replace parameters and keep shared ones shared", () => {
    const [a, b, c] = [parameter([1, 1], [1]), parameter([1, 1], [2]), parameter([1, 1], [3])];
    const pair = new Pair(a, b);
    pair.replaceParameters((p) => (p === a ? c : undefined));
    expect(pair.firstPart.weight).toBe(c);
    expect(pair.parts[1]!.weight).toBe(c);
    expect(pair.parts[0]!.weight).toBe(b);
  });

  it("freeze, and free their memory", () => {
    const before = liveTensors();
    const pair = new Pair(parameter([1, 1], [1]), parameter([1, 1], [2]));
    expect(pair.trainableParameters()).toHaveLength(2);
    expect(pair.setTrainable(false).trainableParameters()).toHaveLength(0);
    pair.dispose();
    expect(liveTensors()).toBe(before);
  });
});

describe("initial values", () => {
  const moments = (values: number[]): { mean: number; std: number; most: number } => {
    const mean = values.reduce((a, b) => a + b) / values.length;
    const std = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
    return { mean, std, most: values.reduce((most, x) => Math.max(most, Math.abs(x)), 0) };
  };
  const shape = [60, 100] as const;

  it.each([
    ["xavier", xavierUniform, Math.sqrt(6 / 160)],
    ["kaiming", kaimingUniform, 0.1],
    ["uniform", (r: Random) => uniformInit(r, shape, 0.3), 0.3],
  ] as const)("%s are uniform within the bound", (_name, init, bound) => {
    using value = init(new Random(1, "x"), shape);
    const { mean, std, most } = moments(value.toNumbers());
    expect(most).toBeLessThanOrEqual(bound);
    expect(most).toBeGreaterThan(0.99 * bound);
    expect(std / (bound / Math.sqrt(3))).toBeCloseTo(1, 1);
    expect(Math.abs(mean)).toBeLessThan(0.05 * bound);
  });

  it("normal ones have the standard deviation, and depend on seed and name alone", () => {
    const draw = (seed: number, name: string): number[] => {
      using value = normalInit(new Random(seed, name), shape, 0.02);
      return value.toNumbers();
    };
    const { mean, std } = moments(draw(1, "a"));
    expect(std / 0.02).toBeCloseTo(1, 1);
    expect(Math.abs(mean)).toBeLessThan(0.001);
    expect(draw(1, "a")).toEqual(draw(1, "a"));
    expect(draw(1, "a")).not.toEqual(draw(1, "b"));
    expect(draw(1, "a")).not.toEqual(draw(2, "a"));
  });
});
