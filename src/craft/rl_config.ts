/** @file The configurations of GRPO and PPO with CRAFT. */
import { z } from "zod";
import { CraftError } from "../errors.js";
import { checkGrpo, grpoFields } from "../trainers/grpo/config.js";
import { checkPpo, ppoFields } from "../trainers/ppo/config.js";
import { CraftConfig, type OptionRecord } from "./config/craft_config.js";
import type { Origins } from "./config/explain.js";
import { craftFields } from "./config/fields.js";

const craftGRPOSchema = z.strictObject({ ...grpoFields, ...craftFields });
export type CRAFTGRPOOptions = z.input<typeof craftGRPOSchema>;
export type CRAFTGRPOArguments = z.output<typeof craftGRPOSchema>;

/** The options of {@link CRAFTGRPOTrainer}: those of GRPOConfig and those of CRAFT. Names may be camelCase or snake_case. */
export class CRAFTGRPOConfig extends CraftConfig<CRAFTGRPOArguments> {
  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: CRAFTGRPOOptions | OptionRecord = {}, origins: Origins = {}) {
    super(craftGRPOSchema, "CRAFTGRPOConfig", { ...options }, origins);
    checkGrpo(this.values);
  }
}

const craftPPOSchema = z.strictObject({ ...ppoFields, ...craftFields });
export type CRAFTPPOOptions = z.input<typeof craftPPOSchema>;
export type CRAFTPPOArguments = z.output<typeof craftPPOSchema>;

/** The options of {@link CRAFTPPOTrainer}: those of PPOConfig and those of CRAFT. Names may be camelCase or snake_case. */
export class CRAFTPPOConfig extends CraftConfig<CRAFTPPOArguments> {
  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: CRAFTPPOOptions | OptionRecord = {}, origins: Origins = {}) {
    super(craftPPOSchema, "CRAFTPPOConfig", { ...options }, origins);
    checkPpo(this.values);
    const { totalEpisodes } = this.values;
    if (totalEpisodes === undefined) return;
    throw new CraftError({
      subject: "total_episodes",
      value: totalEpisodes,
      reason: "does not tell how many steps there are where contrastive micro-batches share them",
      remedy: "Give max_steps or num_train_epochs.",
    });
  }
}
