/** @file Point 7 of the semantics, negatives: what a pair is contrasted with, and what not. */
import { beforeAll, describe, expect, it } from "vitest";
import { InfoNCELoss, requireNegatives } from "../../../src/craft/losses/index.js";
import { constant, evaluate, type Tensor } from "../../../src/tensor/index.js";
import { loadTorch } from "../../../src/torch/torch.js";

beforeAll(() => loadTorch());

const item = async (x: Tensor): Promise<number> => {
  using value = await evaluate(x);
  return value.item();
};
const numbers = async (x: Tensor): Promise<number[]> => {
  using value = await evaluate(x);
  return value.toNumbers();
};
const plain = { hiddenSize: 2, projectionDim: null } as const;

describe("pairs that say the same", () => {
  const pairs = constant([
    [1, 0],
    [0.8, 0.6],
    [0, 1],
  ]);
  const hashes = (anchor: number[], positive: number[]) => ({
    anchorHash: constant(anchor, "int32"),
    positiveHash: constant(positive, "int32"),
  });

  it("are no negatives of each other", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 1 });
    const { sum, logits } = nce.forwardFromPooled(pairs, pairs, { hashes: hashes([1, 2, 3], [7, 8, 7]) });
    expect((await numbers(logits)).map((x) => Number(x.toFixed(4)))).toEqual([
      ...[1, 0.8, -Infinity],
      ...[0.8, 1, 0.6],
      ...[-Infinity, 0.6, 1],
    ]);
    const expected =
      Math.log(1 + Math.exp(-0.2)) +
      Math.log(1 + Math.exp(-0.2) + Math.exp(-0.4)) +
      Math.log(1 + Math.exp(-0.4));
    expect(await item(sum)).toBeCloseTo(expected, 5);
  });

  it("do not count, where a pair is left with no negative: the mean is that of the others", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 1 });
    // Positive 0 equals all others for anchor 0 only: they are the very text of that anchor.
    const { sum, weight, accuracy } = nce.forwardFromPooled(pairs, pairs, {
      hashes: hashes([7, 2, 3], [4, 7, 7]),
    });
    expect(await item(weight)).toBe(2);
    expect(await item(accuracy)).toBe(1);
    expect(await item(sum)).toBeCloseTo(Math.log(1 + Math.exp(-0.2)) + Math.log(1 + Math.exp(-1)), 5);
  });

  it("give NaN, not 0, where no pair has a negative, and an error on the host", async () => {
    const nce = new InfoNCELoss(plain);
    const { sum, weight, accuracy } = nce.forwardFromPooled(pairs, pairs, {
      hashes: hashes([1, 1, 1], [5, 6, 7]),
    });
    expect(await item(sum.div(weight))).toBeNaN();
    expect(await item(accuracy)).toBeNaN();
    const batch = { anchorHash: Int32Array.of(1, 1, 1), positiveHash: Int32Array.of(5, 6, 7) };
    expect(() => requireNegatives(batch, "pairs 1 to 3")).toThrow(
      /pairs 1 to 3: none of its 3 pairs has a negative/,
    );
  });

  it("are looked for on the host by the same rule", async () => {
    // All assignments of two texts to the four sides of two pairs.
    const sides = Array.from({ length: 16 }, (_, bits) => [0, 1, 2, 3].map((i) => (bits >> i) & 1));
    const nce = new InfoNCELoss(plain);
    for (const [a0, a1, p0, p1] of sides as [number, number, number, number][]) {
      const { weight } = nce.forwardFromPooled(pairs.slice(0, 0, 2), pairs.slice(0, 0, 2), {
        hashes: hashes([a0, a1], [p0, p1]),
      });
      const check = (): void =>
        requireNegatives({ anchorHash: Int32Array.of(a0, a1), positiveHash: Int32Array.of(p0, p1) });
      if ((await item(weight)) > 0) expect(check).not.toThrow();
      else expect(check).toThrow(/none of its 2 pairs/);
    }
  });
});
