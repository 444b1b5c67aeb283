/** @file Point 4 of the semantics, pooling: which hidden states stand for a text, under any padding. */
import { beforeAll, describe, expect, it } from "vitest";
import { pool } from "../../../src/craft/losses/index.js";
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

describe("pooling", () => {
  it.each([
    // Position t has the state t. Means of 0 1 2, of 3 4 5 and of 1 3 4, plain and with weights 0.5, 0.75, 1.
    ["right", [1, 1, 1, 0, 0, 0], { last_token: 2, cls: 0, mean: 1, weighted_mean: 2.75 / 2.25 }],
    ["left", [0, 0, 0, 1, 1, 1], { last_token: 5, cls: 3, mean: 4, weighted_mean: 9.5 / 2.25 }],
    ["gaps", [0, 1, 0, 1, 1, 0], { last_token: 4, cls: 1, mean: 8 / 3, weighted_mean: 6.75 / 2.25 }],
  ] as const)("reads where the mask is 1, with padding: %s", async (_, mask, expected) => {
    const hidden = constant([[[0], [1], [2], [3], [4], [5]]]);
    for (const [how, value] of Object.entries(expected))
      expect(await item(pool(hidden, constant([mask], "int64"), how as "mean")), how).toBeCloseTo(value, 5);
  });

  it("gives NaN for a text without any position, and no other row is touched", async () => {
    const hidden = constant([
      [[1], [2]],
      [[3], [4]],
    ]);
    for (const how of ["last_token", "cls", "mean", "weighted_mean"] as const) {
      const [empty, full] = await numbers(
        pool(
          hidden,
          constant(
            [
              [0, 0],
              [0, 1],
            ],
            "int64",
          ),
          how,
        ),
      );
      expect([how, empty, full]).toEqual([how, NaN, 4]);
    }
  });

  it("weights tokens 0.5 to 1 over the text, not over the padding", async () => {
    const hidden = constant([[[100], [4], [8], [16], [100]]]);
    const mask = constant([[0, 1, 1, 1, 0]], "bool");
    // (0.5 * 4 + 0.75 * 8 + 1 * 16) / 2.25
    expect(await item(pool(hidden, mask, "weighted_mean"))).toBeCloseTo(24 / 2.25, 5);
  });

  it("refuses an unknown kind and shapes that do not fit", () => {
    const hidden = constant([[[1], [2]]]);
    expect(() => pool(hidden, constant([[1, 1]]), "max" as "mean")).toThrow(/pooling = max.*"last_token"/);
    expect(() => pool(hidden, constant([[1, 1, 1]]), "mean")).toThrow(/\[1, 2, 1\] and mask \[1, 3\]/);
  });
});
