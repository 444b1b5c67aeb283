/** @file NEFTune's noise and smoothed labels in runs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTSFTConfig, CRAFTSFTTrainer, type CRAFTSFTOptions } from "../../../src/craft/index.js";
import { SFTConfig, SFTTrainer, type SFTOptions } from "../../../src/trainers/index.js";
import { embeddingNoise } from "../../../src/nn/index.js";
import {
  compile,
  HostTensor,
  withRandomKey,
  withRandomRows,
  zeros,
  type Tensor,
} from "../../../src/tensor/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import type { TrainerCallback } from "../../../src/training/index.js";
import { pairRows, readLog, sftRows, temporaryFolders, tinyModel, withoutTimes } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

describe("embeddingNoise", () => {
  const shape = [4, 10, 40];
  const drawn = async (noise: (key: Tensor) => Tensor, key = [1, 2]): Promise<number[]> => {
    const run = compile(noise);
    const result = await run(new HostTensor(key, [2], "int32"));
    const values = result.toNumbers();
    result.dispose();
    run.dispose();
    return values;
  };
  const noisy = (key: Tensor) => withRandomKey(key, () => embeddingNoise(zeros(shape), 5));

  it("is uniform up to alpha over the root of length times size", async () => {
    const values = await drawn(noisy);
    const reach = 5 / Math.sqrt(10 * 40);
    expect(Math.max(...values)).toBeLessThanOrEqual(reach);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-reach);
    const mean = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0) / of.length;
    // Within four standard errors of 1,600 numbers.
    expect(Math.abs(mean(values))).toBeLessThan((4 * reach) / Math.sqrt(3 * 1600));
    expect(Math.abs(mean(values.map((x) => x * x)) / (reach ** 2 / 3) - 1)).toBeLessThan(0.1);
    expect(await drawn(noisy)).toEqual(values);
    expect(await drawn(noisy, [1, 3])).not.toEqual(values);
  });

  it("is the same for a part of a batch, and none outside of training", async () => {
    const part = await drawn((key) =>
      withRandomKey(key, () =>
        withRandomRows({ first: key.sum().mul(0).add(1).to("int32").reshape([]), count: 2 }, () =>
          embeddingNoise(zeros([2, 10, 40]), 5),
        ),
      ),
    );
    expect(part).toEqual((await drawn(noisy)).slice(400, 1200));
    expect(new Set(await drawn((key) => embeddingNoise(zeros(shape), 5).add(key.sum().mul(0))))).toEqual(
      new Set([0]),
    );
  });
});

const common = {
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 2,
  maxSteps: 4,
  loggingSteps: 1,
  saveSteps: 2,
  evalStrategy: "steps",
  evalSteps: 2,
  disableTqdm: true,
} as const;

async function train(
  options: SFTOptions & CRAFTSFTOptions,
  { craft = false, callbacks = [] }: { craft?: boolean; callbacks?: readonly TrainerCallback[] } = {},
) {
  const outputDir = options.outputDir ?? newFolder();
  const model = await tinyModel();
  const data = { model, trainDataset: sftRows(8), evalDataset: sftRows(4, 4, 12, 8), callbacks };
  const trainer = craft
    ? new CRAFTSFTTrainer({
        ...data,
        args: new CRAFTSFTConfig({ craftProjectionDim: 8, ...common, ...options, outputDir }),
        ...(options.craftStrategy === "self_align" ? {} : { contrastiveDataset: pairRows(8) }),
      })
    : new SFTTrainer({ ...data, args: new SFTConfig({ ...common, ...options, outputDir }) });
  try {
    await trainer.train();
    expect(model.neftuneNoiseAlpha).toBe(0);
  } finally {
    model.dispose();
  }
  return { outputDir, log: withoutTimes(readLog(outputDir)) };
}

describe("neftune_noise_alpha", () => {
  const still = { learningRate: 0 };
  it("changes the losses of training and not those of evaluation", async () => {
    const plain = await train(still);
    const noisy = await train({ ...still, neftuneNoiseAlpha: 5 });
    expect(noisy.log[0]!["loss"]).not.toBeCloseTo(plain.log[0]!["loss"]!, 4);
    expect(noisy.log.map((entry) => entry["eval_loss"])).toEqual(
      plain.log.map((entry) => entry["eval_loss"]),
    );
  });

  it("reaches the contrastive passes of CRAFT too", async () => {
    const plain = await train(still, { craft: true });
    const noisy = await train({ ...still, neftuneNoiseAlpha: 5 }, { craft: true });
    for (const name of ["loss/craft_sft", "loss/craft_contrast"])
      expect(noisy.log[0]![name]).not.toBeCloseTo(plain.log[0]![name]!, 4);
  });

  it("goes on from a checkpoint as if the run had not stopped", async () => {
    const options = { learningRate: 1e-2, neftuneNoiseAlpha: 5, labelSmoothingFactor: 0.1 };
    const through = await train(options);
    const outputDir = newFolder();
    const stop: TrainerCallback = {
      onStepEnd: ({ step }) => {
        if (step === 3) throw new Error("stopped");
      },
    };
    await expect(train({ ...options, outputDir }, { callbacks: [stop] })).rejects.toThrow("stopped");
    const resumed = await train({ ...options, outputDir, resumeFromCheckpoint: true });
    expect(resumed.log).toEqual(through.log);
    const weights = (folder: string): Buffer => readFileSync(join(folder, "model.safetensors"));
    expect(weights(outputDir).equals(weights(through.outputDir))).toBe(true);
  });
});

describe("label_smoothing_factor", () => {
  it("acts in every token loss: SFT, evaluation and self-align", async () => {
    const options = { learningRate: 0, craftStrategy: "self_align" } as const;
    const [plain, smooth] = [
      await train(options, { craft: true }),
      await train({ ...options, labelSmoothingFactor: 0.2 }, { craft: true }),
    ];
    const sft = await train({ learningRate: 0, labelSmoothingFactor: 0.2 });
    const value = (run: { log: readonly Readonly<Record<string, number | undefined>>[] }, name: string) =>
      run.log.find((entry) => entry[name] !== undefined)![name]!;
    for (const name of ["loss/craft_sft", "eval_loss"])
      expect(Math.abs(value(smooth, name) - value(plain, name))).toBeGreaterThan(1e-3);
    expect(value(smooth, "loss/craft_contrast")).toBeCloseTo(value(plain, "loss/craft_contrast"), 6);
    expect(value(sft, "eval_loss")).toBeCloseTo(value(smooth, "eval_loss"), 5);
  });
});
