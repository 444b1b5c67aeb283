import { pretrainedFolder } from "../../hub/index.js";
import type { PreferenceBatch } from "../../data/preference_collator.js";
import type { PreferenceRowOptions } from "../../data/preference_rows.js";
import { CraftError } from "../../errors.js";
import type { CausalLM } from "../../models/causal_lm.js";
import { AutoModelForSequenceClassification, SequenceClassifier } from "../../models/index.js";
import type { BaseTrainerOptions } from "../base_trainer.js";
import type { TrainingParts } from "../parts.js";
import { PreferenceTrainer } from "../preference/trainer.js";
import type { Rows } from "../rows.js";
import { RewardConfig, type RewardArguments } from "./config.js";
import { RewardObjective } from "./objective.js";
import { addHead } from "./saved_adapter.js";

export interface RewardTrainerOptions extends Omit<BaseTrainerOptions, "model"> {
  /** A model with one score, or the folder of one or of a language model, which gets a new head. */
  readonly model: SequenceClassifier | string;
  readonly args?: { readonly values: RewardArguments };
  /** Rows of {prompt, chosen, rejected} or {chosen, rejected}, text, messages or tokens, perhaps with a margin. */
  readonly trainDataset: Rows;
}

/**
 * Trains a model that scores texts, so that chosen ones score higher than rejected ones. What it saves is a model that
 * transformers' AutoModelForSequenceClassification loads, or an adapter for one.
 */
export class RewardTrainer extends PreferenceTrainer {
  protected override readonly args: RewardArguments;
  #classifier: SequenceClassifier | undefined;

  /** @throws CraftError for a model with more than one score. */
  constructor(options: RewardTrainerOptions) {
    const { model } = options;
    if (model instanceof SequenceClassifier && model.numLabels !== 1) throw manyScores(model.numLabels);
    super({ ...options, model: model instanceof SequenceClassifier ? model.trunk : model });
    this.args = (options.args ?? new RewardConfig()).values;
    if (model instanceof SequenceClassifier) this.#classifier = model;
  }

  /** The model with its head; loaded when training begins if it was given as a folder. */
  get classifier(): SequenceClassifier {
    if (this.#classifier === undefined)
      throw new CraftError({ subject: "classifier", reason: "is not loaded before train()" });
    return this.#classifier;
  }

  protected override async loadModel(path: string): Promise<CausalLM> {
    const { dtype, seed } = this.args;
    // The folder may be an id of the hub, of which the files are fetched once.
    const folder = await pretrainedFolder(path, "model", {});
    const loaded = await AutoModelForSequenceClassification.fromPretrained(folder, { dtype, seed });
    if (loaded.numLabels !== 1) {
      const { numLabels } = loaded;
      loaded.dispose();
      throw manyScores(numLabels);
    }
    loaded.trunk.nameOrPath = path;
    this.#classifier = loaded;
    return loaded.trunk;
  }

  protected override async prepare(): Promise<TrainingParts<PreferenceBatch>> {
    this.#settlePadding();
    const { labelledRows: _labelledRows, ...parts } = await super.prepare();
    return { ...parts, modules: { score: this.classifier.score } };
  }

  /** Files of the model say where its score stands: at the last token that is no padding. */
  #settlePadding(): void {
    const { classifier, options } = this;
    const { tokenizer } = options;
    classifier.padTokenId = tokenizer?.padTokenId ?? classifier.padTokenId ?? tokenizer?.eosTokenId;
    const { padTokenId } = classifier;
    if (padTokenId !== undefined && padTokenId === tokenizer?.eosTokenId)
      this.notice(
        "padding and end of text are one token: scores stand at the last token before it, as transformers reads them",
      );
  }

  protected override rowOptions(): PreferenceRowOptions {
    const { maxLength, onBadRow } = this.args;
    return { maxLength, onBadRow, whole: true, margins: true };
  }

  protected override objective(): RewardObjective {
    const { score, padTokenId } = this.classifier;
    return new RewardObjective(score, this.args, padTokenId);
  }

  /** Writes the model with its head, or the adapter with the head beside it, and the tokenizer. */
  override async saveModel(folder: string): Promise<void> {
    if (this.lora === undefined) {
      this.classifier.savePretrained(folder);
      await this.options.tokenizer?.save(folder);
      return;
    }
    await super.saveModel(folder);
    addHead(folder, this.classifier.score.weight.value);
  }

  /** Writes a model of its own that has the adapter in its weights. */
  async saveMerged(folder: string): Promise<void> {
    await this.lora?.mergeAdapter();
    try {
      this.classifier.savePretrained(folder);
    } finally {
      this.lora?.unmergeAdapter();
    }
    await this.options.tokenizer?.save(folder);
  }
}

const manyScores = (count: number): CraftError =>
  new CraftError({
    subject: "model",
    value: `${count} labels`,
    reason: "gives each text more than one score",
    remedy: "Load it with numLabels: 1.",
  });
