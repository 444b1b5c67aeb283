/**
 * @file Random chains of views and element-wise operations: the planner predicts the strides of each result, and the
 * runner refuses a result that has others. The same chain with every step made contiguous gives the numbers.
 */
import { describe, expect, it } from "vitest";
import { compile, constant, HostTensor, numel, type Tensor } from "../../../src/tensor/index.js";
import { startEngine } from "./engine.js";

type Step = (x: Tensor) => Tensor;

/** Integers in [0, n) from a linear congruential generator. */
function dice(seed: number): (n: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function shuffled(n: number, roll: (n: number) => number): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = roll(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

const waves = (shape: readonly number[]): HostTensor =>
  new HostTensor(
    Array.from({ length: numel(shape) }, (_, i) => Math.sin(1 + i)),
    shape,
    "float32",
  );

/** A step that fits a tensor of the given shape. */
function drawStep(shape: readonly number[], roll: (n: number) => number): Step {
  const dim = shape.length === 0 ? 0 : roll(shape.length);
  switch (roll(12)) {
    case 0: {
      const order = shuffled(shape.length, roll);
      return (x) => x.permute(order);
    }
    case 1: {
      const start = shape.length === 0 ? 0 : roll(Math.max(1, shape[dim]! - 1));
      const stride = 1 + roll(2);
      return shape.length === 0 ? (x) => x : (x) => x.slice(dim, start, undefined, stride);
    }
    case 2:
      return shape.length > 4 ? (x) => x.flatten() : (x) => x.unsqueeze(dim);
    case 3:
      return shape.length > 4 ? (x) => x.squeeze() : (x) => x.unsqueeze(0).expand([2, ...shape]);
    case 4:
      return shape.length < 2 ? (x) => x.neg() : (x) => x.flatten(0, 1);
    case 5: {
      const order = shuffled(shape.length, roll);
      const other = waves(order.map((d) => shape[d]!));
      return (x) => x.add(constant(other).cast(x.dtype).permute(inverse(order)));
    }
    case 6:
      return (x) => x.tanh();
    case 7:
      return (x) => x.cast(x.dtype === "float32" ? "float64" : "float32");
    case 8:
      return shape.length === 0 ? (x) => x.mul(2) : (x) => x.mul(x.slice(dim, 0, 1));
    case 9:
      return (x) => x.gt(0).where(x, x.mul(-0.5));
    case 10:
      return shape.length === 0 ? (x) => x.neg() : (x) => x.sub(x.mean(dim, true));
    default:
      return shape.length === 0 ? (x) => x.neg() : (x) => x.flip([dim]);
  }
}

const inverse = (order: readonly number[]): number[] => order.map((_, i) => order.indexOf(i));

function drawChain(seed: number): { shape: number[]; chain: (settle: Step) => Step } {
  const roll = dice(seed);
  const shape = Array.from({ length: 1 + roll(4) }, () => 1 + roll(4));
  const draws = Array.from({ length: 3 + roll(8) }, () => roll(2 ** 30));
  const chain =
    (settle: Step): Step =>
    (x) => {
      let value = x;
      for (const draw of draws) value = settle(drawStep(value.shape, dice(draw))(value));
      return value;
    };
  return { shape, chain };
}

await startEngine();

describe("memory layouts", () => {
  it.each(Array.from({ length: 12 }, (_, i) => i))("random chains, part %i", async (part) => {
    for (let seed = part * 25; seed < (part + 1) * 25; seed++) {
      const { shape, chain } = drawChain(seed);
      const x = waves(shape);
      const lazy = compile(chain((value) => value));
      const settled = compile(chain((value) => value.contiguous()));
      using found = await lazy(x);
      using expected = await settled(x);
      expect({ seed, shape: found.shape, dtype: found.dtype }).toEqual({
        seed,
        shape: expected.shape,
        dtype: expected.dtype,
      });
      const numbers = expected.toNumbers();
      const worst = Math.max(0, ...found.toNumbers().map((n, i) => Math.abs(n - numbers[i]!)));
      expect(worst, `seed ${seed}`).toBeLessThan(1e-5);
      lazy.dispose();
      settled.dispose();
    }
  });
});
