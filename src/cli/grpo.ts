/** @file `craft grpo`: group relative policy optimisation. */
import { CRAFTGRPOConfig, CRAFTGRPOTrainer } from "../craft/index.js";
import { GRPOConfig, GRPOTrainer } from "../trainers/index.js";
import { RunRewards } from "./reward_options.js";
import { runTraining } from "./training/run.js";
import { promptSample } from "./training/samples.js";

export const run = (options: Record<string, unknown>): Promise<number> => {
  const rewards = new RunRewards();
  return runTraining<GRPOConfig, CRAFTGRPOConfig>(
    {
      command: "grpo",
      take: (given) => rewards.take(given),
      open: (folder, dtype) => rewards.open(folder, dtype),
      plain: (given) => new GRPOConfig(given),
      train: (inputs, args) => new GRPOTrainer({ ...inputs, args, rewardFuncs: rewards.opened }),
      craft: {
        config: (given, preset) =>
          preset === undefined ? new CRAFTGRPOConfig(given) : CRAFTGRPOConfig.fromPreset(preset, given),
        train: (inputs, args) => new CRAFTGRPOTrainer({ ...inputs, args, rewardFuncs: rewards.opened }),
      },
      sample: promptSample,
      textsPerRow: 1,
      moreTokens: ({ maxCompletionLength }) => maxCompletionLength,
      comparesWithReference: true,
    },
    options,
  );
};
