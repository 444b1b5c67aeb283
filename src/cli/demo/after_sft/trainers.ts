/** @file The options of each method in the demo, and its trainers without CRAFT and with it. */
import {
  CRAFTDPOConfig,
  CRAFTDPOTrainer,
  CRAFTGRPOConfig,
  CRAFTGRPOTrainer,
  CRAFTORPOConfig,
  CRAFTORPOTrainer,
  CRAFTPPOConfig,
  CRAFTPPOTrainer,
  type CraftOptions,
  type CraftTrainer,
} from "../../../craft/index.js";
import {
  DPOConfig,
  DPOTrainer,
  GRPOConfig,
  GRPOTrainer,
  ORPOConfig,
  ORPOTrainer,
  PPOConfig,
  PPOTrainer,
  type BaseTrainerOptions,
} from "../../../trainers/index.js";
import { ownOptions, rowsPerStep } from "../craft_runs.js";
import { mostNewTokens } from "./prompts.js";
import { literalsSurvive } from "./reward.js";
import type { AfterSftRun } from "./train.js";

/** A contrastive batch beside that of each step. */
const craftOptions = {
  ...ownOptions,
  craftStrategy: "paired_dataset",
  craftBeta: 0.5,
  craftContrastiveBatchSize: rowsPerStep,
} as const satisfies CraftOptions;

const dpoOptions = { learningRate: 1e-4, beta: 0.1, maxLength: 256 };

const orpoOptions = { learningRate: 1e-4, beta: 0.5, maxLength: 256 };

const grpoOptions = {
  numGenerations: 8,
  maxCompletionLength: mostNewTokens,
  learningRate: 1e-4,
  beta: 0.05,
};

const ppoOptions = {
  responseLength: mostNewTokens,
  temperature: 1,
  learningRate: 1e-4,
  klCoef: 0.05,
  numPpoEpochs: 2,
};

/** The rows that CRAFT contrasts. */
export interface Pairs {
  readonly contrastiveDataset: AfterSftRun["pairs"];
  readonly contrastiveColumns: { readonly anchor: string; readonly positive: string };
}

/** What all methods have of their options. */
export interface CommonOptions {
  readonly outputDir: string;
  readonly perDeviceTrainBatchSize: number;
  readonly maxSteps: number;
  readonly warmupSteps: number;
  readonly lrSchedulerType: "cosine";
  readonly saveStrategy: "no";
  readonly loggingSteps: number;
  readonly seed: number;
  readonly disableTqdm: boolean;
}

/** @param pairs undefined for none of CRAFT */
export function trainerOf(
  run: AfterSftRun,
  common: Pick<BaseTrainerOptions, "model" | "tokenizer" | "callbacks">,
  options: CommonOptions,
  pairs: Pairs | undefined,
) {
  const preferences = { ...common, trainDataset: run.preferences };
  const rewards = {
    ...common,
    trainDataset: run.prompts,
    rewardFuncs: literalsSurvive,
  };
  const own = <O extends object>(methods: O) => ({ ...options, ...methods });
  const craft = <O extends object>(methods: O) => ({ ...options, ...methods, ...craftOptions });
  switch (run.method) {
    case "dpo":
      return pairs === undefined
        ? new DPOTrainer({ ...preferences, args: new DPOConfig(own(dpoOptions)) })
        : new CRAFTDPOTrainer({ ...preferences, ...pairs, args: new CRAFTDPOConfig(craft(dpoOptions)) });
    case "orpo":
      return pairs === undefined
        ? new ORPOTrainer({ ...preferences, args: new ORPOConfig(own(orpoOptions)) })
        : new CRAFTORPOTrainer({ ...preferences, ...pairs, args: new CRAFTORPOConfig(craft(orpoOptions)) });
    case "grpo":
      return pairs === undefined
        ? new GRPOTrainer({ ...rewards, args: new GRPOConfig(own(grpoOptions)) })
        : new CRAFTGRPOTrainer({ ...rewards, ...pairs, args: new CRAFTGRPOConfig(craft(grpoOptions)) });
    case "ppo":
      return pairs === undefined
        ? new PPOTrainer({ ...rewards, args: new PPOConfig(own(ppoOptions)) })
        : new CRAFTPPOTrainer({ ...rewards, ...pairs, args: new CRAFTPPOConfig(craft(ppoOptions)) });
  }
}

type MethodTrainer = ReturnType<typeof trainerOf>;

/** Whether a trainer has a contrastive loss, which is to be freed when it is over. */
export const hasHead = (trainer: MethodTrainer): trainer is MethodTrainer & CraftTrainer =>
  "infoNCE" in trainer;
