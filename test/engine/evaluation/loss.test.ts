/** @file Losses of ragged rows against transformers, with and without adapter. */
import { describe, expect, it } from "vitest";
import { evaluateLoss } from "../../../src/evaluation/index.js";
import { loadAdapter } from "../../../src/peft/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { adapterFolder, expected, loadModel } from "../generation/fixture.js";

const { rows, loss } = expected;
const model = await loadModel();

describe("evaluateLoss", () => {
  it.each([1, 3, 8])("weighs every predicted token alike, %d rows at a time", async (batchSize) => {
    const before = liveTensors();
    const found = await evaluateLoss(model, rows, { batchSize });
    expect(found.tokens).toBe(loss.tokens);
    expect(found.loss).toBeCloseTo(loss.loss, 5);
    expect(liveTensors()).toBe(before);
  });

  it("counts an adapter in", async () => {
    const adapter = loadAdapter(model, adapterFolder);
    const found = await evaluateLoss(model, rows);
    adapter.detach();
    expect(found.tokens).toBe(expected.lossWithAdapter.tokens);
    expect(found.loss).toBeCloseTo(expected.lossWithAdapter.loss, 5);
    expect(found.loss).not.toBeCloseTo(loss.loss, 2);
  });

  it("refuses rows without tokens, unknown ids, and rows that predict nothing", async () => {
    await expect(evaluateLoss(model, [[1, 2], []])).rejects.toThrow(/^rows\[1\]: has no tokens/);
    await expect(evaluateLoss(model, [[1, 24]])).rejects.toThrow(/^rows\[0\]\[1\] = 24/);
    await expect(evaluateLoss(model, [[1], [2]])).rejects.toThrow(/no token to predict/);
    await expect(evaluateLoss(model, rows, { batchSize: 0 })).rejects.toThrow(/^batchSize = 0/);
  });
});
