import { DataCollatorForLanguageModeling, type LanguageModelingBatch } from "../../data/collator.js";
import { DataLoader } from "../../data/loader.js";
import type { Prepared } from "../../data/prepared.js";
import type { SftRowOptions } from "../../data/sft_rows.js";
import type { PreparedRow } from "../../data/tokenised_rows.js";
import { CraftError } from "../../errors.js";
import { evaluateObjective, type Objective } from "../../training/index.js";
import { BaseTrainer, type BaseTrainerOptions } from "../base_trainer.js";
import type { Evaluation, TrainingParts } from "../parts.js";
import { datasetOf, describeRows, prepareRowsFor, type Rows } from "../rows.js";
import { SFTConfig, type SFTArguments } from "./config.js";
import { SFTObjective } from "./objective.js";
import { cutsRows, packRows, packsEvaluation } from "./packing.js";

export interface SFTTrainerOptions extends BaseTrainerOptions {
  readonly args?: { readonly values: SFTArguments };
  /** Rows of {text}, {prompt, completion}, {messages} or tokens. */
  readonly trainDataset: Rows;
  /** Pads rows to batches; by default on the right with the tokenizer's padding token. */
  readonly dataCollator?:
    | { readonly collate: (rows: readonly PreparedRow[], where: readonly string[]) => LanguageModelingBatch }
    | undefined;
}

/** Supervised fine-tuning: next-token prediction on texts, completions or conversations. */
export class SFTTrainer extends BaseTrainer<LanguageModelingBatch> {
  protected override readonly args: SFTArguments;
  protected readonly data: SFTTrainerOptions;

  constructor(options: SFTTrainerOptions) {
    super(options);
    this.args = (options.args ?? new SFTConfig()).values;
    this.data = options;
    if (options.dataCollator !== undefined) refusePackedRows(options.dataCollator, this.args);
  }

  protected async prepare(): Promise<TrainingParts<LanguageModelingBatch>> {
    const { args } = this;
    const rows = await this.prepareRows(this.data.trainDataset, "train_dataset", args.packing);
    return {
      objective: this.objective(),
      batches: this.batches(rows, args.perDeviceTrainBatchSize, true),
      evaluations: await this.evaluations(),
      labelledRows: () => Promise.resolve(rows),
    };
  }

  /** What is trained, and evaluated: the token loss. */
  protected objective(): Objective<LanguageModelingBatch> {
    return new SFTObjective({ labelSmoothing: this.args.labelSmoothingFactor });
  }

  /** Tokenises rows, checks them against the model, reports what was cut or left out, and packs them if asked to. */
  protected async prepareRows(rows: Rows, name: string, packing: boolean): Promise<Prepared<PreparedRow>> {
    const raw = datasetOf(rows, name);
    const { args } = this;
    const { maxLength: _maxLength, truncationMode: _truncationMode, ...uncut } = this.rowOptions();
    const options = cutsRows(args, packing) ? this.rowOptions() : uncut;
    const prepared = await prepareRowsFor(this.model.shape, raw, this.options.tokenizer, options);
    // Positions begin anew with each piece of a row.
    const lengths = prepared.lengths.map((length) => Math.min(length, args.maxLength));
    for (const line of describeRows({ ...prepared, lengths }, this.model.shape))
      this.notice(`${name}: ${line}`);
    return packing ? packRows(prepared, args, (text) => this.notice(`${name}: ${text}`)) : prepared;
  }

  protected rowOptions(): SftRowOptions {
    const { maxLength, truncationMode, datasetTextField, completionOnlyLoss, assistantOnlyLoss, onBadRow } =
      this.args;
    return {
      maxLength,
      truncationMode,
      datasetTextField,
      ...(completionOnlyLoss === undefined ? {} : { completionOnlyLoss }),
      assistantOnlyLoss,
      onBadRow,
    };
  }

  protected collate(): (rows: readonly PreparedRow[], where: readonly string[]) => LanguageModelingBatch {
    const { dataCollator } = this.data;
    if (dataCollator !== undefined) return dataCollator.collate;
    const { padToMultipleOf, maxLength, paddingFree } = this.args;
    return new DataCollatorForLanguageModeling({
      padTokenId: this.padTokenId(),
      maxLength,
      paddingFree,
      ...(padToMultipleOf === undefined ? {} : { padToMultipleOf }),
    }).collate;
  }

  protected batches(
    rows: Prepared<PreparedRow>,
    batchSize: number,
    training: boolean,
  ): DataLoader<PreparedRow, LanguageModelingBatch> {
    const { seed, dataloaderDropLast, groupByLength } = this.args;
    return new DataLoader({
      dataset: rows.dataset,
      batchSize,
      collate: this.collate(),
      seed,
      shuffle: training,
      dropLast: training && dataloaderDropLast,
      ...(groupByLength || !training ? { lengths: rows.lengths } : {}),
    });
  }

  protected async evaluations(): Promise<Evaluation[]> {
    const { evalDataset } = this.data;
    if (evalDataset === undefined) return [];
    const rows = await this.prepareRows(evalDataset, "eval_dataset", packsEvaluation(this.args));
    const loader = this.batches(rows, this.args.perDeviceEvalBatchSize, false);
    const objective = this.objective();
    return [
      (model, onPrediction) => evaluateObjective(model, objective, loader, objective.name, onPrediction),
    ];
  }
}

/** @throws CraftError for a collator that knows nothing of documents, beside options that make rows of several. */
function refusePackedRows(collator: object, args: SFTArguments): void {
  const packs = args.packing || packsEvaluation(args);
  if (!args.paddingFree && (!packs || collator instanceof DataCollatorForLanguageModeling)) return;
  throw new CraftError({
    subject: "dataCollator",
    reason: args.paddingFree
      ? "is given, and with padding_free the trainer lays out batches itself"
      : "is given, and with packing the documents in a row must be kept apart",
    remedy: args.paddingFree
      ? "Leave out one of both; DataCollatorForLanguageModeling has an option paddingFree of its own."
      : "Leave it out, or give a DataCollatorForLanguageModeling.",
  });
}
