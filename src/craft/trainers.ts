/** @file SFT with the contrastive objective. */
import type { LanguageModelingBatch } from "../data/collator.js";
import type { SftRowOptions } from "../data/sft_rows.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import { SFTTrainer, type SFTTrainerOptions } from "../trainers/sft/trainer.js";
import { CRAFTSFTConfig } from "./config.js";
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
