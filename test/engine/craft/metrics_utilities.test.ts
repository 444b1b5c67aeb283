/** @file computeContrastiveAccuracy, computeRepresentationConsistency and updateRepresentationReference, by hand. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  computeContrastiveAccuracy,
  computeRepresentationConsistency,
  updateRepresentationReference,
} from "../../../src/craft/metrics/index.js";
import { constant, evaluate, tensor, zeros } from "../../../src/tensor/index.js";
import { loadTorch } from "../../../src/torch/torch.js";

beforeAll(() => loadTorch());

describe("computeContrastiveAccuracy", () => {
  // Cosines: a0 has 1, 0, 0.6 with the positives; a1 has 0, 1, 0.8; a2 has 0.8, 0.6, 0.96.
  const anchor = [
    [2, 0],
    [0, 1],
    [4, 3],
  ];
  const positive = [
    [5, 0],
    [0, 7],
    [3, 4],
  ];

  it("is the share of anchors whose own positive is nearest", async () => {
    expect(computeContrastiveAccuracy(anchor, positive)).toBe(1);
    // a1 and a2 have exchanged their positives: 0.8 < 1 and 0.6 < 0.96.
    const swapped = [positive[0]!, positive[2]!, positive[1]!];
    expect(computeContrastiveAccuracy(anchor, swapped)).toBeCloseTo(1 / 3, 12);
    expect(computeContrastiveAccuracy(tensor(anchor), tensor(swapped))).toBeCloseTo(1 / 3, 12);
    using traced = await evaluate(computeContrastiveAccuracy(constant(anchor), constant(swapped)));
    expect(traced.item()).toBeCloseTo(1 / 3, 6);
  });

  it("looks at further negatives too, and counts a tie as wrong", async () => {
    // (10, 1) is nearer to none but a0's own; (0, 3) is as near to a1 as its own.
    expect(computeContrastiveAccuracy(anchor, positive, [[10, 1]])).toBe(1);
    expect(computeContrastiveAccuracy(anchor, positive, [[0, 3]])).toBeCloseTo(2 / 3, 12);
    using traced = await evaluate(
      computeContrastiveAccuracy(constant(anchor), constant(positive), constant([[0, 3]])),
    );
    expect(traced.item()).toBeCloseTo(2 / 3, 6);
    const collapsed = [
      [1, 1],
      [1, 1],
    ];
    expect(computeContrastiveAccuracy(collapsed, collapsed)).toBe(0);
  });

  it("refuses one pair alone, and shapes that do not fit", () => {
    expect(() => computeContrastiveAccuracy([[1, 0]], [[1, 0]])).toThrow(
      "anchor = 1 vectors: there is nothing that the positive could be told from.",
    );
    expect(computeContrastiveAccuracy([[1, 0]], [[1, 0]], [[0, 1]])).toBe(1);
    expect(() => computeContrastiveAccuracy(anchor, positive.slice(1))).toThrow("got [3, 2], [2, 2], []");
    expect(() => computeContrastiveAccuracy([[1, 0], [1]], positive.slice(1))).toThrow("vectors of one size");
    expect(
      () => Reflect.apply(computeContrastiveAccuracy, undefined, [constant(anchor), positive]) as unknown,
    ).toThrow("Give tensors only, or arrays only.");
  });
});

describe("computeRepresentationConsistency and updateRepresentationReference", () => {
  const first = [
    [1, 0],
    [0, 1],
  ];
  const second = [
    [0, 2],
    [0, 4],
  ];

  it("begin with the batch's mean, and move a tenth of the way", async () => {
    const reference = updateRepresentationReference(undefined, first);
    expect(reference).toEqual([0.5, 0.5]);
    // 0.9 * (0.5, 0.5) + 0.1 * (0, 3)
    const next = updateRepresentationReference(reference, second);
    expect(next[0]).toBeCloseTo(0.45, 12);
    expect(next[1]).toBeCloseTo(0.75, 12);
    expect(updateRepresentationReference(reference, second, 0.5)).toEqual([0.25, 1.75]);
    using traced = await evaluate(updateRepresentationReference(constant([0.5, 0.5]), constant(second)));
    expect(traced.toNumbers()[1]).toBeCloseTo(0.75, 6);
    using begun = await evaluate(updateRepresentationReference(zeros([2]), constant(first)));
    expect(begun.toNumbers()).toEqual([0.5, 0.5]);
  });

  it("give the mean cosine to the reference", async () => {
    // Cosines with (3, 4): 0.6 and 0.8.
    expect(computeRepresentationConsistency(first, [3, 4])).toBeCloseTo(0.7, 12);
    using traced = await evaluate(computeRepresentationConsistency(constant(first), constant([3, 4])));
    expect(traced.item()).toBeCloseTo(0.7, 6);
  });

  it("refuse a momentum out of range and a reference of another size", () => {
    expect(() => updateRepresentationReference([0, 0], first, 1.1)).toThrow("momentum = 1.1");
    expect(() => updateRepresentationReference([0, 0, 0], first)).toThrow("reference must have 2 values");
  });
});
