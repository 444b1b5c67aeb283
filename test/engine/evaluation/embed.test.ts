/** @file Pooled hidden states against transformers' of each row by itself (parity/decoding.py). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { embed } from "../../../src/evaluation/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { largestDifference } from "../fixtures.js";
import { loadModel } from "../generation/fixture.js";

const { prompts, pooled } = JSON.parse(
  readFileSync(new URL("../../fixtures/generation/decoding.json", import.meta.url), "utf8"),
) as { prompts: number[][]; pooled: Record<"last_token" | "mean" | "cls", number[][]> };
const model = await loadModel();

describe("embed gives transformers' hidden states", () => {
  it.each(["last_token", "mean", "cls"] as const)("%s, in batches of any size", async (pooling) => {
    for (const batchSize of [1, 3, 32]) {
      const before = liveTensors();
      const found = await embed(model, prompts, { pooling, batchSize });
      expect(found.map(({ length }) => length)).toEqual([16, 16, 16, 16]);
      const flat = found.flatMap((row) => [...row]);
      expect(largestDifference(flat, pooled[pooling].flat())).toBeLessThan(1e-5);
      expect(liveTensors()).toBe(before);
    }
  });

  it("refuses rows that the model cannot read, and unknown poolings", async () => {
    await expect(embed(model, [[1], [24]])).rejects.toThrow(/^rows\[1\]\[0\] = 24/);
    await expect(embed(model, [[]])).rejects.toThrow(/^rows\[0\]: has no tokens/);
    await expect(embed(model, prompts, { pooling: "max" as "mean" })).rejects.toThrow(/^pooling = max/);
    await expect(embed(model, prompts, { batchSize: 0 })).rejects.toThrow(/^batchSize = 0/);
  });
});
