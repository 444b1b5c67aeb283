/** @file Trainers with the contrastive objective. */
import type { LanguageModelingBatch } from "../data/collator.js";
import type { PreferenceBatch } from "../data/preference_collator.js";
import type { SftRowOptions } from "../data/sft_rows.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import { DPOTrainer, type DPOTrainerOptions } from "../trainers/dpo/trainer.js";
import { ORPOTrainer, type ORPOTrainerOptions } from "../trainers/orpo/trainer.js";
import { SFTTrainer, type SFTTrainerOptions } from "../trainers/sft/trainer.js";
import { CRAFTDPOConfig, CRAFTORPOConfig, CRAFTSFTConfig } from "./config.js";
import type { CRAFTCollator } from "./data/index.js";
import type { CraftDataOptions } from "./trainer_data.js";
import { withCraft } from "./with_craft.js";

export interface CRAFTSFTTrainerOptions
  extends Omit<SFTTrainerOptions, "args" | "dataCollator">, Omit<CraftDataOptions, "craftCollator"> {
  readonly args?: CRAFTSFTConfig;
  /** Pads rows and pairs; what it leaves open it takes over from the trainer. */
  readonly dataCollator?: CRAFTCollator;
}

/**
 * {@link withCraft} over {@link SFTTrainer}: each step's gradient is alpha times the token loss's, over all labels of
 * the step, plus (1 - alpha) times the InfoNCE loss's, over all its pairs.
 */
export class CRAFTSFTTrainer extends withCraft(SFTTrainer) {
  readonly #collator: CRAFTCollator | undefined;
  readonly #keepsMasks: boolean;

  /** @throws CraftError for options and data that do not go together. */
  constructor(options: CRAFTSFTTrainerOptions) {
    const { dataCollator, args = new CRAFTSFTConfig(), ...rest } = options;
    super({ ...rest, args, craftCollator: dataCollator });
    this.#collator = dataCollator;
    this.#keepsMasks = args.values.craftAssistantMaskStrategy === "provided";
  }

  protected override collate(): (
    rows: readonly PreparedRow[],
    where: readonly string[],
  ) => LanguageModelingBatch {
    return this.#collator?.collateSft ?? super.collate();
  }

  protected override rowOptions(): SftRowOptions {
    return { ...super.rowOptions(), ...(this.#keepsMasks ? { returnAssistantMasks: true } : {}) };
  }
}

export interface CRAFTDPOTrainerOptions
  extends Omit<DPOTrainerOptions, "args">, CraftDataOptions<PreferenceBatch> {
  readonly args?: CRAFTDPOConfig;
}

/**
 * {@link withCraft} over {@link DPOTrainer}: alpha times the gradient of DPO's loss over all pairs of the step, plus
 * (1 - alpha) times InfoNCE's. Self-align sets prompts against the answers that were chosen.
 */
export class CRAFTDPOTrainer extends withCraft(DPOTrainer) {
  /** @throws CraftError for options and data that do not go together. */
  constructor({ args = new CRAFTDPOConfig(), ...options }: CRAFTDPOTrainerOptions) {
    super({ ...options, args });
  }
}

export interface CRAFTORPOTrainerOptions
  extends Omit<ORPOTrainerOptions, "args">, CraftDataOptions<PreferenceBatch> {
  readonly args?: CRAFTORPOConfig;
}

/**
 * {@link withCraft} over {@link ORPOTrainer}: alpha times the gradient of ORPO's whole loss over the step, plus
 * (1 - alpha) times InfoNCE's. Self-align sets prompts against the answers that were chosen.
 */
export class CRAFTORPOTrainer extends withCraft(ORPOTrainer) {
  /** @throws CraftError for options and data that do not go together. */
  constructor({ args = new CRAFTORPOConfig(), ...options }: CRAFTORPOTrainerOptions) {
    super({ ...options, args });
  }
}
