/** @file Short runs of CRAFTSFTTrainer on the tiny model. */
import { CRAFTSFTConfig, CRAFTSFTTrainer, type CRAFTSFTOptions } from "../../../src/craft/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import type { LoraModel } from "../../../src/peft/lora.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { numbersOf, pairRows, readLog, sftRows, tinyModel, withoutTimes } from "../training/tiny.js";

export const strategies = ["paired_dataset", "self_align"] as const;

export function craftTrainer(
  model: CausalLM | LoraModel,
  outputDir: string,
  options: CRAFTSFTOptions,
  more: Partial<ConstructorParameters<typeof CRAFTSFTTrainer>[0]> = {},
): CRAFTSFTTrainer {
  return new CRAFTSFTTrainer({
    model,
    args: new CRAFTSFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 4,
      gradientAccumulationSteps: 2,
      craftBeta: 0.5,
      craftProjectionDim: 8,
      maxSteps: 4,
      learningRate: 1e-2,
      loggingSteps: 1,
      saveStrategy: "no",
      disableTqdm: true,
      ...options,
    }),
    trainDataset: sftRows(16),
    ...(options.craftStrategy === "self_align" ? {} : { contrastiveDataset: pairRows(10) }),
    ...more,
  });
}

/** Runs and gives what was logged, what was trained and the number of native tensors after each step. */
export async function train(
  newFolder: () => string,
  options: CRAFTSFTOptions,
  more: Partial<ConstructorParameters<typeof CRAFTSFTTrainer>[0]> = {},
) {
  const outputDir = newFolder();
  const model = await tinyModel();
  const counts: number[] = [];
  const trainer = craftTrainer(model, outputDir, options, {
    callbacks: [{ onStepEnd: () => counts.push(liveTensors()) }],
    ...more,
  });
  const output = await trainer.train();
  const nce = trainer.infoNCE;
  const weights = numbersOf([...model.namedParameters(), ...nce.namedParameters("craft_loss")]);
  const result = { output, weights, counts, log: withoutTimes(readLog(outputDir)), outputDir };
  nce.dispose();
  model.dispose();
  return result;
}

/** What {@link train} is told beside the folder. */
export type TrainedRun = [
  options: CRAFTSFTOptions,
  more?: Partial<ConstructorParameters<typeof CRAFTSFTTrainer>[0]>,
];
