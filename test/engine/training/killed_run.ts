/**
 * @file A short run of CRAFT-SFT with everything that a resume must bring back. As a process of its own, to be killed:
 * `killed_run.ts FOLDER` begins it or goes on with it, and says when it takes its first step.
 */
import { existsSync, readdirSync } from "node:fs";
import { CRAFTSFTConfig, CRAFTSFTTrainer } from "../../../src/craft/index.js";
import { EarlyStoppingCallback, type TrainerCallback } from "../../../src/training/index.js";
import { pairRows, sftRows, tinyModel } from "./tiny_data.js";

/** More than the kills leave to be done. */
export const killedSteps = 200;

/** Goes on from the last checkpoint in the folder, if there is one. */
export async function killedRun(
  outputDir: string,
  callbacks: readonly TrainerCallback[] = [],
): Promise<void> {
  const checkpoint = /^(checkpoint-\d+|\.checkpoint-\d+\.\d+\.replaced)$/;
  const resume = existsSync(outputDir) && readdirSync(outputDir).some((name) => checkpoint.test(name));
  const model = await tinyModel();
  const trainer = new CRAFTSFTTrainer({
    model,
    peftConfig: { r: 2, loraDropout: 0.2, targetModules: ["q_proj", "o_proj"] },
    trainDataset: sftRows(10, 5, 9),
    evalDataset: sftRows(3, 5, 9, 99),
    contrastiveDataset: pairRows(7),
    args: new CRAFTSFTConfig({
      outputDir,
      resumeFromCheckpoint: resume,
      overwriteOutputDir: !resume,
      perDeviceTrainBatchSize: 2,
      gradientAccumulationSteps: 2,
      maxSteps: killedSteps,
      learningRate: 1e-2,
      lrSchedulerType: "reduce_lr_on_plateau",
      lrSchedulerKwargs: { patience: 3, factor: 0.7 },
      weightDecay: 0.1,
      loggingSteps: 3,
      evalStrategy: "steps",
      evalSteps: 2,
      saveSteps: 2,
      saveTotalLimit: 2,
      loadBestModelAtEnd: true,
      craftProjectionDim: 8,
      craftProjectionDropout: 0.1,
      craftLearnableTemperature: true,
      craftBeta: 0.5,
      craftNegativeStrategy: "queue",
      craftNegativeQueueSize: 12,
      craftUseGradcache: true,
      craftGradcacheChunkSize: 1,
      disableTqdm: true,
    }),
    callbacks: [new EarlyStoppingCallback({ earlyStoppingPatience: 1000 }), ...callbacks],
  });
  await trainer.train();
  model.dispose();
}

const [, script, folder] = process.argv;
if (script === import.meta.filename && folder !== undefined)
  await killedRun(folder, [{ onStepBegin: ({ step }) => void process.stdout.write(`${step}\n`) }]);
