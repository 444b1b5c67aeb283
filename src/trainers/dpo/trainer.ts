import type { CausalLM } from "../../models/causal_lm.js";
import type { PreferenceBatch } from "../../data/preference_collator.js";
import type { PreferenceRowOptions } from "../../data/preference_rows.js";
import { CraftError } from "../../errors.js";
import { LoraModel } from "../../peft/lora.js";
import type { LogEntry } from "../../training/index.js";
import type { BaseTrainerOptions } from "../base_trainer.js";
import type { TrainingParts } from "../parts.js";
import {
  frozenCopy,
  givenReference,
  withFirstAdapter,
  withoutAdapter,
  type Reference,
} from "../preference/reference.js";
import { PreferenceTrainer, type PreparedPreferences } from "../preference/trainer.js";
import type { Rows } from "../rows.js";
import { DPOConfig, type DPOArguments } from "./config.js";
import { MovingReference } from "./moving_reference.js";
import { DPOObjective, dpoShares } from "./objective.js";
import { withReferenceLogProbs } from "./precomputed.js";

export interface DPOTrainerOptions extends BaseTrainerOptions {
  readonly args?: { readonly values: DPOArguments };
  /**
   * What the policy is compared with. By default the model as it is when training begins: without its adapter where a new
   * one is trained (`peftConfig`), with the adapter that it has, or a copy of all its weights.
   */
  readonly refModel?: CausalLM | string | undefined;
  /** Rows of {prompt, chosen, rejected}, text, messages or tokens. */
  readonly trainDataset: Rows;
}

/** Direct preference optimisation: answers that were chosen become likelier than those that were rejected. */
export class DPOTrainer extends PreferenceTrainer {
  protected override readonly args: DPOArguments;
  readonly #refModel: CausalLM | string | undefined;
  #reference: Promise<Reference> | undefined;

  /** @throws CraftError for options that do not go together. */
  constructor(options: DPOTrainerOptions) {
    super(options);
    this.args = (options.args ?? new DPOConfig()).values;
    this.#refModel = options.refModel;
    const { referenceFree, syncRefModel } = this.args;
    if (options.refModel !== undefined && referenceFree)
      throw refused("refModel", "has no effect with reference_free", "Leave one of both out.");
    if (syncRefModel && (options.peftConfig !== undefined || options.model instanceof LoraModel))
      throw refused(
        "sync_ref_model",
        "cannot be with adapters: the reference is the model without them",
        "Train all weights, or leave it out.",
      );
  }

  protected override async prepare(): Promise<TrainingParts<PreferenceBatch>> {
    const { args } = this;
    const parts = await super.prepare();
    const whole = { ...parts, shares: dpoShares(args), taskNorms: false };
    if (!args.syncRefModel) return whole;
    const { model } = await this.#referenceOnce();
    const { refModelMixupAlpha: alpha = 0.6, refModelSyncSteps: every = 512 } = args;
    const moving = new MovingReference(this.model, model, { alpha, every });
    return {
      ...whole,
      carried: { reference: moving },
      afterStep: () => moving.advance(),
    };
  }

  protected override rowOptions(): PreferenceRowOptions {
    const { maxLength, truncationMode, onBadRow } = this.args;
    return { maxLength, truncationMode, onBadRow };
  }

  protected override async objective(): Promise<DPOObjective> {
    const { args } = this;
    const computed = !args.referenceFree && !args.precomputeRefLogProbs;
    return new DPOObjective(args, computed ? await this.#referenceOnce() : undefined);
  }

  protected override async prepareRows(rows: Rows, name: string): Promise<PreparedPreferences> {
    const { args } = this;
    const prepared = await super.prepareRows(rows, name);
    if (!args.precomputeRefLogProbs) return prepared;
    const own = name === "train_dataset" ? args.perDeviceTrainBatchSize : args.perDeviceEvalBatchSize;
    return withReferenceLogProbs(prepared, {
      reference: await this.#referenceOnce(),
      objective: new DPOObjective(args, undefined),
      collator: this.collator(Math.max(...prepared.lengths)),
      batchSize: args.precomputeRefBatchSize ?? own,
      ldAlpha: args.ldAlpha,
      notice: (text) => this.notice(`${name}: ${text}`),
    });
  }

  protected override evaluated(entry: LogEntry): LogEntry {
    const { eval_sft_loss: sft } = entry;
    const share = dpoShares(this.args)["sft"];
    if (sft === undefined || share === undefined) return entry;
    return { ...entry, eval_loss: (entry["eval_loss"] ?? 0) + share * sft };
  }

  /** The same for all runs and evaluations of this trainer: the model as it was before the first. */
  #referenceOnce(): Promise<Reference> {
    this.#reference ??= this.#makeReference();
    return this.#reference;
  }

  async #makeReference(): Promise<Reference> {
    const { model, lora, args } = this;
    if (this.#refModel !== undefined) return givenReference(this.#refModel, model);
    if (lora !== undefined)
      return this.options.peftConfig === undefined ? withFirstAdapter(lora) : withoutAdapter(lora);
    return frozenCopy(model, args.syncRefModel ? "float32" : undefined);
  }
}

const refused = (subject: string, reason: string, remedy: string): CraftError =>
  new CraftError({ subject, reason, remedy });
