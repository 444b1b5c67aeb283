/** @file GRPO and PPO with CRAFT: each keeps its loss beside the contrastive one, and runs go on where they stopped. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  CRAFTGRPOConfig,
  CRAFTGRPOTrainer,
  CRAFTPPOConfig,
  CRAFTPPOTrainer,
  contrastiveReward,
} from "../../../src/craft/index.js";
import { embed } from "../../../src/evaluation/index.js";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { AutoTokenizer } from "../../../src/text/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import type { PPOTrainer } from "../../../src/trainers/index.js";
import { GRPOConfig, GRPOTrainer, type RewardInput } from "../../../src/trainers/index.js";
import { TrainingInterrupted } from "../../../src/training/index.js";
import { makeModel } from "../tiny_model.js";
import { pairRows, readLog, temporaryFolders, tinyModel, withoutTimes } from "../training/tiny.js";
import { lowTokens, tinyPrompts } from "../trainers/rl_tiny.js";

const newFolder = temporaryFolders();
let before = 0;
beforeAll(async () => {
  await loadTorch();
  before = liveTensors();
});
afterAll(() => expect(liveTensors()).toBe(before));

const peftConfig = { r: 4, targetModules: ["q_proj", "v_proj"] };
const common = {
  gradientAccumulationSteps: 2,
  perDeviceTrainBatchSize: 4,
  maxSteps: 6,
  learningRate: 1e-2,
  loggingSteps: 1,
  saveStrategy: "steps",
  saveSteps: 100,
  disableTqdm: true,
} as const;
const craft = {
  craftAlpha: 0.7,
  craftBeta: 0.5,
  craftProjectionDim: 8,
  craftContrastiveBatchSize: 3,
} as const;
const grpo = { ...common, stepsPerGeneration: 2, numGenerations: 4, maxCompletionLength: 5 } as const;
const ppo = { ...common, responseLength: 5, numPpoEpochs: 2 } as const;

type Trainable = CRAFTGRPOTrainer | CRAFTPPOTrainer | GRPOTrainer | PPOTrainer;

/** Runs a trainer until the abort, if any, and gives its log. */
async function run(
  make: (options: {
    readonly model: Awaited<ReturnType<typeof tinyModel>>;
    readonly outputDir: string;
    readonly stop: { readonly onStepEnd: (end: { readonly step: number }) => void };
    readonly resume: boolean;
  }) => Trainable,
  outputDir = newFolder(),
  { stopAt, resume = false }: { readonly stopAt?: number; readonly resume?: boolean } = {},
) {
  const model = await tinyModel();
  const abort = new AbortController();
  const stop = {
    onStepEnd: ({ step }: { readonly step: number }) => {
      if (step === stopAt) abort.abort();
    },
  };
  const trainer = make({ model, outputDir, stop, resume });
  try {
    await trainer.train({ signal: abort.signal });
    return { log: readLog(outputDir), outputDir };
  } finally {
    if ("valueHead" in trainer) trainer.valueHead?.dispose();
    if ("infoNCE" in trainer) trainer.infoNCE.dispose();
    model.dispose();
  }
}

const kinds = [
  {
    name: "GRPO",
    task: "grpo",
    plain: run.bind(undefined, ({ model, outputDir }) => {
      // Without CRAFT the whole window is the policy's: one micro-batch of it is the half that CRAFT leaves.
      const args = new GRPOConfig({ ...grpo, gradientAccumulationSteps: 1, maxSteps: 1, outputDir });
      return new GRPOTrainer({
        model,
        peftConfig,
        args,
        trainDataset: tinyPrompts(6),
        rewardFuncs: lowTokens,
      });
    }),
    crafted: run.bind(undefined, ({ model, outputDir, stop, resume }) => {
      const args = new CRAFTGRPOConfig({ ...grpo, ...craft, outputDir, resumeFromCheckpoint: resume });
      return new CRAFTGRPOTrainer({
        model,
        peftConfig,
        args,
        trainDataset: tinyPrompts(6),
        contrastiveDataset: pairRows(7),
        rewardFuncs: lowTokens,
        callbacks: [stop],
      });
    }),
  },
  {
    name: "PPO",
    task: "ppo",
    plain: undefined,
    crafted: run.bind(undefined, ({ model, outputDir, stop, resume }) => {
      const args = new CRAFTPPOConfig({ ...ppo, ...craft, outputDir, resumeFromCheckpoint: resume });
      return new CRAFTPPOTrainer({
        model,
        peftConfig,
        args,
        trainDataset: tinyPrompts(16),
        contrastiveDataset: pairRows(7),
        rewardFuncs: lowTokens,
        callbacks: [stop],
      });
    }),
  },
];

describe.each(kinds)("$name with CRAFT", ({ task, plain, crafted }) => {
  it("mixes both losses by alpha, and keeps the trainer's", async () => {
    const { log } = await crafted();
    for (const entry of log) {
      const [own, contrast] = [entry[`loss/craft_${task}`]!, entry["loss/craft_contrast"]!];
      expect(entry["loss"]).toBeCloseTo(0.7 * own + 0.3 * contrast, 6);
      expect(contrast).toBeGreaterThan(0);
      expect(entry[`grad_norm/${task}`]).toBeGreaterThan(0);
    }
    if (plain === undefined) return;
    const alone = await plain();
    expect(log[0]![`loss/craft_${task}`]).toBeCloseTo(alone.log[0]!["loss"]!, 5);
    expect(log[0]![`grad_norm/${task}`]! / alone.log[0]!["grad_norm"]!).toBeCloseTo(1, 4);
  });

  it("goes on from where it stopped, bit for bit", async () => {
    const through = await crafted();
    const outputDir = newFolder();
    await expect(crafted(outputDir, { stopAt: 3 })).rejects.toThrow(TrainingInterrupted);
    const resumed = await crafted(outputDir, { resume: true });
    expect(withoutTimes(resumed.log)).toEqual(withoutTimes(through.log));
    for (const file of ["adapter_model.safetensors", "craft.safetensors"])
      expect(readFileSync(join(outputDir, file)).equals(readFileSync(join(through.outputDir, file)))).toBe(
        true,
      );
  });
});

describe("the contrastive reward", () => {
  it("is the cosine of the policy's pooled states of completion and answer", async () => {
    const folder = newFolder();
    await import("node:fs").then(({ mkdirSync }) => mkdirSync(folder));
    await makeModel(folder);
    const model = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });
    const tokenizer = await AutoTokenizer.fromPretrained(folder);
    const texts = ["hello there", "good morning", "", "same"];
    const answer = ["hello", "bye", "x", "same"];
    const input = { texts, columns: { answer }, policy: { model, tokenizer } } as unknown as RewardInput;
    const found = await contrastiveReward().score(input);
    const ids = (list: readonly string[]) =>
      list.map((text) => tokenizer.encode(text, { addSpecialTokens: false }));
    const [a, b] = [
      await embed(model, ids(["hello there", "good morning"]), { pooling: "mean" }),
      await embed(model, ids(["hello", "bye"]), { pooling: "mean" }),
    ];
    a.forEach((x, i) => {
      const dot = (u: Float32Array, v: Float32Array): number =>
        u.reduce((sum, value, k) => sum + value * v[k]!, 0);
      expect(found[i]).toBeCloseTo(dot(x, b[i]!) / Math.sqrt(dot(x, x) * dot(b[i]!, b[i]!)), 4);
    });
    expect(found[2]).toBe(0);
    expect(found[3]).toBeCloseTo(1, 5);
    model.dispose();
  });
});
