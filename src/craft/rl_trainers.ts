/** @file GRPO and PPO with the contrastive objective. */
import { GRPOTrainer, type GRPOTrainerOptions } from "../trainers/grpo/trainer.js";
import { PPOTrainer, type PPOTrainerOptions } from "../trainers/ppo/trainer.js";
import { CRAFTGRPOConfig, CRAFTPPOConfig } from "./rl_config.js";
import type { CraftDataOptions } from "./trainer_data.js";
import { withCraft } from "./with_craft.js";

type PairOptions = Omit<CraftDataOptions<never>, "craftSftLoader" | "craftLoaderFactory">;

export interface CRAFTGRPOTrainerOptions extends Omit<GRPOTrainerOptions, "args">, PairOptions {
  readonly args?: CRAFTGRPOConfig;
}

/**
 * {@link withCraft} over {@link GRPOTrainer}: each step's gradient is alpha times the policy's, over all completions of
 * the step, plus (1 - alpha) times InfoNCE's, over all its pairs. Pairs come from a dataset of their own.
 */
export class CRAFTGRPOTrainer extends withCraft(GRPOTrainer) {
  /** @throws CraftError for options and data that do not go together. */
  constructor({ args = new CRAFTGRPOConfig(), ...options }: CRAFTGRPOTrainerOptions) {
    super({ ...options, args });
  }
}

export interface CRAFTPPOTrainerOptions extends Omit<PPOTrainerOptions, "args">, PairOptions {
  readonly args?: CRAFTPPOConfig;
}

/** {@link withCraft} over {@link PPOTrainer}, as {@link CRAFTGRPOTrainer} is over GRPOTrainer. */
export class CRAFTPPOTrainer extends withCraft(PPOTrainer) {
  /** @throws CraftError for options and data that do not go together. */
  constructor({ args = new CRAFTPPOConfig(), ...options }: CRAFTPPOTrainerOptions) {
    super({ ...options, args });
  }
}
