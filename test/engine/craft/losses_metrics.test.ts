/** @file The metrics of a contrastive batch, against PyTorch (parity/craft.py) and by hand. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  alignment,
  batchAccuracy,
  batchReciprocalRank,
  representationConsistency,
  uniformity,
} from "../../../src/craft/metrics/index.js";
import { compile, constant, evaluate, zeros, type Tensor } from "../../../src/tensor/index.js";
import { DeviceTensor } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, hostTensor, need, readTensors, type Expected } from "../fixtures.js";

const folder = join(import.meta.dirname, "../../fixtures/craft");
const { metrics } = JSON.parse(readFileSync(join(folder, "losses.json"), "utf8")) as {
  readonly metrics: {
    readonly alignment: number;
    readonly uniformity: number;
    readonly consistency: readonly number[];
  };
};

let fixture: Map<string, Expected>;
beforeAll(async () => {
  await loadTorch();
  fixture = readTensors(join(folder, "losses.safetensors"));
});

const read = (name: string): Tensor => constant(hostTensor(need(fixture, `metrics/${name}`)));
const item = async (x: Tensor): Promise<number> => {
  using value = await evaluate(x);
  return value.item();
};

describe("alignment and uniformity", () => {
  it("equal PyTorch's", async () => {
    expect(await item(alignment(read("anchor"), read("positive")))).toBeCloseTo(metrics.alignment, 5);
    expect(await item(uniformity(read("anchor")))).toBeCloseTo(metrics.uniformity, 5);
  });

  it("of vectors that have collapsed are 0, and of opposite ones 4 and -8", async () => {
    const same = constant([
      [0.6, 0.8],
      [0.6, 0.8],
      [0.6, 0.8],
    ]);
    expect(await item(alignment(same, same))).toBe(0);
    expect(await item(uniformity(same))).toBeCloseTo(0, 5);
    const opposite = constant([
      [1, 0],
      [-1, 0],
    ]);
    expect(await item(alignment(opposite, opposite.neg()))).toBeCloseTo(4, 5);
    expect(await item(uniformity(opposite))).toBeCloseTo(-8, 5);
    expect(() => uniformity(constant([[1, 0]]))).toThrow(/two vectors/);
  });
});

describe("representation consistency", () => {
  it("follows a reference that moves by a tenth of each batch, from the first value on", async () => {
    const batches = need(fixture, "metrics/batches");
    const references = need(fixture, "metrics/references");
    const step = compile((anchor: Tensor, reference: Tensor) => representationConsistency(anchor, reference));
    let reference = DeviceTensor.full([4], 0);
    for (const [i, expected] of metrics.consistency.entries()) {
      const batch = hostTensor({ shape: [3, 4], values: batches.values.slice(12 * i, 12 * i + 12) });
      const result = await step(batch, reference);
      expect(result.consistency.item()).toBeCloseTo(expected, 5);
      ({ reference } = result);
      expectClose(reference, { shape: [4], values: references.values.slice(4 * i, 4 * i + 4) }, "reference");
    }
    step.dispose();
  });

  it("is a number even for anchors that cancel out", async () => {
    const { consistency } = representationConsistency(
      constant([
        [1, 0],
        [-1, 0],
      ]),
      zeros([2]),
    );
    expect(await item(consistency)).toBe(0);
  });
});

describe("accuracy and reciprocal rank", () => {
  const similarities = constant([
    [0.9, 0.1, 0.2, 0.3],
    [0.5, 0.5, 0.1, 0.9],
    [0.7, 0.8, 0.6, 0.6],
  ]);

  it("rank ties before the own candidate", async () => {
    // Ranks 1, 3 (0.9 and the tie) and 4 (0.7, 0.8 and the tie).
    expect(await item(batchAccuracy(similarities))).toBeCloseTo(1 / 3, 6);
    expect(await item(batchReciprocalRank(similarities))).toBeCloseTo((1 + 1 / 3 + 1 / 4) / 3, 6);
  });

  it("look at the negatives only, and leave out rows that have none", async () => {
    const isNegative = constant(
      [
        [0, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 1, 0, 0],
      ],
      "bool",
    );
    // Row 0 has no negative, row 1 is right (0.1), row 2 comes second (0.8).
    expect(await item(batchAccuracy(similarities, isNegative))).toBeCloseTo(0.5, 6);
    expect(await item(batchReciprocalRank(similarities, isNegative))).toBeCloseTo(0.75, 6);
  });
});
