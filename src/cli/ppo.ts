/** @file `craft ppo`: proximal policy optimisation. */
import { CRAFTPPOConfig, CRAFTPPOTrainer } from "../craft/index.js";
import { PPOConfig, PPOTrainer } from "../trainers/index.js";
import { RunRewards } from "./reward_options.js";
import { runTraining } from "./training/run.js";
import { promptSample } from "./training/samples.js";

export const run = (options: Record<string, unknown>): Promise<number> => {
  const rewards = new RunRewards();
  return runTraining<PPOConfig, CRAFTPPOConfig>(
    {
      command: "ppo",
      take: (given) => rewards.take(given),
      open: (folder, dtype) => rewards.open(folder, dtype),
      plain: (given) => new PPOConfig(given),
      train: (inputs, args) => new PPOTrainer({ ...inputs, args, rewardFuncs: rewards.opened }),
      craft: {
        config: (given, preset) =>
          preset === undefined ? new CRAFTPPOConfig(given) : CRAFTPPOConfig.fromPreset(preset, given),
        train: (inputs, args) => new CRAFTPPOTrainer({ ...inputs, args, rewardFuncs: rewards.opened }),
      },
      sample: promptSample,
      textsPerRow: 1,
      moreTokens: ({ responseLength }) => responseLength,
      comparesWithReference: true,
    },
    options,
  );
};
