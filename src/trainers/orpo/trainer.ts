import type { PreferenceBatch } from "../../data/preference_collator.js";
import type { PreferenceRowOptions } from "../../data/preference_rows.js";
import type { LogEntry } from "../../training/index.js";
import type { BaseTrainerOptions } from "../base_trainer.js";
import type { TrainingParts } from "../parts.js";
import { PreferenceTrainer } from "../preference/trainer.js";
import type { Rows } from "../rows.js";
import { ORPOConfig, type ORPOArguments } from "./config.js";
import { ORPOObjective, orpoShares } from "./objective.js";

export interface ORPOTrainerOptions extends BaseTrainerOptions {
  readonly args?: { readonly values: ORPOArguments };
  /** Rows of {prompt, chosen, rejected}, text, messages or tokens. */
  readonly trainDataset: Rows;
}

/** Odds ratio preference optimisation: fine-tuning on chosen answers that keeps rejected ones unlikely, in one stage. */
export class ORPOTrainer extends PreferenceTrainer {
  protected override readonly args: ORPOArguments;

  constructor(options: ORPOTrainerOptions) {
    super(options);
    this.args = (options.args ?? new ORPOConfig()).values;
  }

  protected override async prepare(): Promise<TrainingParts<PreferenceBatch>> {
    return { ...(await super.prepare()), shares: orpoShares, taskNorms: false };
  }

  protected override rowOptions(): PreferenceRowOptions {
    const { maxLength, truncationMode, onBadRow } = this.args;
    return { maxLength, truncationMode, onBadRow };
  }

  protected override objective(): ORPOObjective {
    return new ORPOObjective(this.args);
  }

  protected override evaluated(entry: LogEntry): LogEntry {
    return { ...entry, eval_loss: (entry["eval_loss"] ?? 0) + (entry["eval_nll_loss"] ?? 0) };
  }
}
