import { DataCollatorForLanguageModeling, type LanguageModelingBatch } from "../../data/collator.js";
import { Dataset } from "../../data/dataset.js";
import { DataLoader } from "../../data/loader.js";
import { describeNotes, type Prepared } from "../../data/prepared.js";
import type { SftRowOptions } from "../../data/sft_rows.js";
import type { PreparedRow } from "../../data/tokenised_rows.js";
import { SingleObjectiveLoader } from "../../data/windows.js";
import { CraftError } from "../../errors.js";
import type { CausalLM } from "../../models/index.js";
import { evaluateObjective, FixedMixture, type LogEntry, type TrainOutput } from "../../training/index.js";
import {
  Trainer,
  type Evaluation,
  type TrainerOptions,
  type TrainingParts,
  type TrainOptions,
} from "../trainer.js";
import { SFTConfig, type SFTArguments } from "./config.js";
import { SFTObjective } from "./objective.js";
import { cutsRows, packRows, packsEvaluation } from "./packing.js";
import { describeLongRows, prepareRowsFor } from "./rows.js";

/** Rows as a dataset or an array. */
export type Rows = Dataset<object> | readonly object[];

export interface SFTTrainerOptions extends TrainerOptions {
  readonly args?: { readonly values: SFTArguments };
  /** Rows of {text}, {prompt, completion}, {messages} or tokens. */
  readonly trainDataset: Rows;
  readonly evalDataset?: Rows | undefined;
  /** Pads rows to batches; by default on the right with the tokenizer's padding token. */
  readonly dataCollator?:
    | { readonly collate: (rows: readonly PreparedRow[], where: readonly string[]) => LanguageModelingBatch }
    | undefined;
}

/** Supervised fine-tuning: next-token prediction on texts, completions or conversations. */
export class SFTTrainer extends Trainer {
  protected override readonly args: SFTArguments;
  protected readonly data: SFTTrainerOptions;
  #noisy: CausalLM | undefined;

  constructor(options: SFTTrainerOptions) {
    super(options);
    this.args = (options.args ?? new SFTConfig()).values;
    this.data = options;
    if (options.dataCollator !== undefined) refusePackedRows(options.dataCollator, this.args);
  }

  protected async prepare(model: CausalLM): Promise<TrainingParts> {
    const { args } = this;
    const rows = await this.prepareRows(this.data.trainDataset, "train_dataset", args.packing);
    const loader = this.batches(rows, args.perDeviceTrainBatchSize, true);
    const objective = this.tokenObjective();
    this.addNoise(model);
    return {
      objectives: [objective],
      loader: new SingleObjectiveLoader(loader, {
        gradientAccumulationSteps: args.gradientAccumulationSteps,
        objective: objective.name,
      }),
      mixture: new FixedMixture({ sft: 1 }),
      evaluations: await this.evaluations(),
    };
  }

  protected tokenObjective(): SFTObjective {
    return new SFTObjective({ labelSmoothing: this.args.labelSmoothingFactor });
  }

  /** Puts noise on the model's embeddings until the training is over. */
  protected addNoise(model: CausalLM): void {
    model.neftuneNoiseAlpha = this.args.neftuneNoiseAlpha ?? 0;
    this.#noisy = model;
  }

  override train(options?: TrainOptions): Promise<TrainOutput> {
    return super.train(options).finally(() => this.#endNoise());
  }

  override evaluate(): Promise<LogEntry> {
    return super.evaluate().finally(() => this.#endNoise());
  }

  #endNoise(): void {
    if (this.#noisy !== undefined) this.#noisy.neftuneNoiseAlpha = 0;
  }

  /** Tokenises rows, checks them against the model, reports what was cut or left out, and packs them if asked to. */
  protected async prepareRows(rows: Rows, name: string, packing: boolean): Promise<Prepared<PreparedRow>> {
    const raw = rows instanceof Dataset ? rows : Dataset.fromArray(rows, { name });
    const { args } = this;
    const { maxLength: _maxLength, truncationMode: _truncationMode, ...uncut } = this.rowOptions();
    const options = cutsRows(args, packing) ? this.rowOptions() : uncut;
    const prepared = await prepareRowsFor(this.model.shape, raw, this.options.tokenizer, options);
    // Positions begin anew with each piece of a row.
    const lengths = prepared.lengths.map((length) => Math.min(length, args.maxLength));
    this.reportRows({ ...prepared, lengths }, name);
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

  protected reportRows<R>(prepared: Prepared<R>, name: string): void {
    for (const note of describeNotes(prepared.report.notes)) this.notice(`${name}: ${note}`);
    const long = describeLongRows(prepared, this.model.shape);
    if (long !== undefined) this.notice(`${name}: ${long}`);
  }

  /** Any token of the vocabulary will do for padding, since nothing reads it. */
  protected padTokenId(): number {
    const { tokenizer } = this.options;
    const wanted = tokenizer?.padTokenId ?? tokenizer?.eosTokenId ?? 0;
    return wanted < this.model.shape.vocabSize ? wanted : 0;
  }

  /** Tells the user of something that acts otherwise than it reads, or of data that is left out. */
  protected notice(text: string): void {
    if (!this.args.disableTqdm) process.stderr.write(`${text}\n`);
    for (const callback of this.options.callbacks ?? []) callback.onNotice?.(text);
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
    return [
      (model, onPrediction) => evaluateObjective(model, this.tokenObjective(), loader, "sft", onPrediction),
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
