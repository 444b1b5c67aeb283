/** @file Runs on preferences that were stopped and go on, against runs that went through: the same byte for byte. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import {
  CRAFTDPOConfig,
  CRAFTDPOTrainer,
  CRAFTORPOConfig,
  CRAFTORPOTrainer,
} from "../../../src/craft/index.js";
import { AutoModelForSequenceClassification } from "../../../src/models/index.js";
import {
  DPOConfig,
  DPOTrainer,
  ORPOConfig,
  ORPOTrainer,
  RewardConfig,
  RewardTrainer,
} from "../../../src/trainers/index.js";
import { liveTensors, loadTorch } from "../../../src/torch/index.js";
import type { TrainerCallback } from "../../../src/training/index.js";
import {
  modelFolder,
  pairRows,
  readLog,
  temporaryFolders,
  tinyModel,
  withoutTimes,
} from "../training/tiny.js";
import { rows } from "./trl.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const trainDataset = rows.slice(0, 10);
const common = {
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 2,
  maxSteps: 6,
  learningRate: 5e-3,
  loggingSteps: 2,
  saveSteps: 3,
  disableTqdm: true,
} as const;
const lora = { r: 2, loraDropout: 0.2, targetModules: ["q_proj", "o_proj"] };
const craft = { craftProjectionDim: 8, craftLearnableTemperature: true, craftBeta: 0.5 };

interface Run {
  readonly options: { readonly outputDir: string; readonly resumeFromCheckpoint: boolean };
  readonly callbacks: readonly TrainerCallback[];
}

const kinds: readonly {
  readonly name: string;
  readonly files: readonly string[];
  readonly train: (run: Run) => Promise<void>;
}[] = [
  {
    name: "DPO with a reference that follows",
    files: ["model.safetensors"],
    train: async ({ options, callbacks }) => {
      const model = await tinyModel();
      const sync = { syncRefModel: true, refModelSyncSteps: 2 };
      const args = new DPOConfig({ ...common, ...options, ...sync });
      await new DPOTrainer({ model, args, trainDataset, callbacks }).train().finally(() => model.dispose());
    },
  },
  {
    name: "DPO with adapters, dropout and a mix of losses",
    files: ["adapter_model.safetensors"],
    train: async ({ options, callbacks }) => {
      const model = await tinyModel();
      const mix = { lossType: ["sigmoid", "sft"], lossWeights: [1, 0.5], disableDropout: false };
      const args = new DPOConfig({ ...common, ...options, ...mix, gradientCheckpointing: true });
      const trainer = new DPOTrainer({ model, args, trainDataset, callbacks, peftConfig: lora });
      await trainer.train().finally(() => model.dispose());
    },
  },
  {
    name: "ORPO",
    files: ["model.safetensors"],
    train: async ({ options, callbacks }) => {
      const model = await tinyModel();
      const args = new ORPOConfig({ ...common, ...options });
      await new ORPOTrainer({ model, args, trainDataset, callbacks }).train().finally(() => model.dispose());
    },
  },
  {
    name: "a reward model",
    files: ["model.safetensors", "modules.safetensors"],
    train: async ({ options, callbacks }) => {
      const model = await AutoModelForSequenceClassification.fromPretrained(modelFolder, {
        dtype: "float32",
      });
      const args = new RewardConfig({ ...common, ...options });
      await new RewardTrainer({ model, args, trainDataset, callbacks })
        .train()
        .finally(() => model.dispose());
    },
  },
  {
    name: "a reward model with adapters",
    files: ["adapter_model.safetensors", "modules.safetensors"],
    train: async ({ options, callbacks }) => {
      const model = await AutoModelForSequenceClassification.fromPretrained(modelFolder, {
        dtype: "float32",
      });
      const args = new RewardConfig({ ...common, ...options });
      const trainer = new RewardTrainer({ model, args, trainDataset, callbacks, peftConfig: lora });
      await trainer.train().finally(() => model.dispose());
    },
  },
  {
    name: "DPO with CRAFT and pairs",
    files: ["adapter_model.safetensors", "craft.safetensors"],
    train: async ({ options, callbacks }) => {
      const model = await tinyModel();
      const args = new CRAFTDPOConfig({ ...common, ...options, ...craft });
      const data = { trainDataset, contrastiveDataset: pairRows(7) };
      const trainer = new CRAFTDPOTrainer({ model, args, ...data, callbacks, peftConfig: lora });
      await trainer.train().finally(() => model.dispose());
    },
  },
  {
    name: "ORPO with CRAFT and self-align",
    files: ["model.safetensors", "craft.safetensors"],
    train: async ({ options, callbacks }) => {
      const model = await tinyModel();
      const args = new CRAFTORPOConfig({ ...common, ...options, ...craft, craftStrategy: "self_align" });
      const trainer = new CRAFTORPOTrainer({ model, args, trainDataset, callbacks });
      await trainer.train().finally(() => model.dispose());
    },
  },
];

const stopAfter = (step: number): TrainerCallback => ({
  onStepEnd: (end) => {
    if (end.step === step) throw new Error("stopped");
  },
});

it.each(kinds)("$name goes on from a checkpoint as if it had not stopped", async ({ train, files }) => {
  const live = liveTensors();
  const [through, stopped] = [newFolder(), newFolder()];
  const options = { outputDir: through, resumeFromCheckpoint: false };
  await train({ options, callbacks: [] });
  const half = { ...options, outputDir: stopped };
  await expect(train({ options: half, callbacks: [stopAfter(5)] })).rejects.toThrow("stopped");
  await train({ options: { ...half, resumeFromCheckpoint: true }, callbacks: [] });
  for (const folder of ["", "checkpoint-6"])
    for (const file of files) {
      const bytes = (run: string): Buffer => readFileSync(join(run, folder, file));
      expect(bytes(stopped).equals(bytes(through)), join(folder, file)).toBe(true);
    }
  expect(withoutTimes(readLog(stopped))).toEqual(withoutTimes(readLog(through)));
  // A trainer with CRAFT keeps its projection head.
  if (!files.includes("craft.safetensors")) expect(liveTensors()).toBe(live);
});
