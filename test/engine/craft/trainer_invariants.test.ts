/** @file Runs of CRAFTSFTTrainer: what is the same, and what memory they hold. */
import { beforeAll, describe, expect, it } from "vitest";
import type { CRAFTSFTOptions } from "../../../src/craft/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need } from "../fixtures.js";
import { pairRows, sftRows, temporaryFolders } from "../training/tiny.js";
import { strategies, train as trainIn, type TrainedRun } from "./trainer_runs.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const train = (...run: TrainedRun) => trainIn(newFolder, ...run);

describe.each(strategies)("a run with %s", (craftStrategy) => {
  it("is the same bit for bit when done twice, and another with another seed", async () => {
    const options = { craftStrategy, craftProjectionDropout: 0.2, craftLearnableTemperature: true };
    const first = await train(options);
    const second = await train(options);
    expect(second.weights).toEqual(first.weights);
    expect(second.log).toEqual(first.log);
    expect((await train({ ...options, seed: 43 })).weights).not.toEqual(first.weights);
  });

  it("is the same with gradient checkpointing", async () => {
    const kept = await train({ craftStrategy });
    const again = await train({ craftStrategy, gradientCheckpointing: true });
    for (const [name, values] of kept.weights)
      expect(largestDifference(need(again.weights, name), values), name).toBeLessThanOrEqual(1e-5);
  });

  it.each<[string, CRAFTSFTOptions]>([
    ["", {}],
    [
      " with a queue and in chunks",
      {
        craftNegativeStrategy: "queue",
        craftNegativeQueueSize: 10,
        craftUseGradcache: true,
        craftGradcacheChunkSize: 1,
      },
    ],
  ])("holds the same number of native tensors over 50 steps%s, and none afterwards", async (_, more) => {
    const rows = sftRows(12, 8, 8);
    const data = {
      trainDataset: rows,
      ...(craftStrategy === "self_align" ? {} : { contrastiveDataset: pairRows(8, 6, 7) }),
    };
    const options = {
      craftStrategy,
      maxSteps: 50,
      loggingSteps: 10,
      craftLearnableTemperature: true,
      ...more,
    };
    const { counts } = await train(options, data);
    expect(counts).toHaveLength(50);
    // Every shape of batch has come within an epoch.
    expect(new Set(counts.slice(5)).size).toBe(1);
    const before = liveTensors();
    await train({ ...options, maxSteps: 5 }, data);
    expect(liveTensors()).toBe(before);
  });
});
