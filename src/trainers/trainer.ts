/** @file A trainer for any loss that is a function of tensors. */
import { DataCollatorForLanguageModeling } from "../data/collator.js";
import type { Dataset } from "../data/dataset.js";
import { DataLoader, rowLengths, type Collate, type Loader } from "../data/loader.js";
import type { Prepared } from "../data/prepared.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import { column, missingColumn } from "../data/tokens.js";
import type { CausalLM } from "../models/index.js";
import type { Module } from "../nn/module.js";
import type { TracedFeeds } from "../training/index.js";
import { evaluateObjective } from "../training/index.js";
import { BaseTrainer, type BaseTrainerOptions } from "./base_trainer.js";
import type { Evaluation, TrainingParts } from "./parts.js";
import { TrainingArguments, type TrainingValues } from "./plain/config.js";
import { checkInputs, languageModelingInputs, type Inputs } from "./plain/inputs.js";
import { causalTokenLoss, ComputedObjective, type ComputedLoss, type SummedLoss } from "./plain/objective.js";
import { datasetOf, describeRows, prepareRowsFor, type Rows } from "./rows.js";

/** Makes a micro-batch of rows: a function, or an object with one. `where` names the rows for errors. */
export type DataCollator<Row extends object = object> =
  Collate<Row, Inputs> | { readonly collate: Collate<Row, Inputs> };

export interface TrainerOptions<Row extends object = object> extends BaseTrainerOptions {
  readonly args?: { readonly values: TrainingValues };
  /** Rows of tokens (`input_ids`, perhaps `labels` and `attention_mask`), or of anything that dataCollator takes. */
  readonly trainDataset: Rows<Row>;
  readonly evalDataset?: Rows<Row> | undefined;
  /** Makes tensors of rows; by default pads tokens and labels, see {@link languageModelingInputs}. */
  readonly dataCollator?: DataCollator<Row> | undefined;
  /** What is trained, saved and resumed beside the model, by name: a projection, a head of another task. */
  readonly modules?: Readonly<Record<string, Module>> | undefined;
}

/** Columns of tokens that the default data collator reads. */
const readColumns = new Set([
  "input_ids",
  "attention_mask",
  "labels",
  "completion_mask",
  "assistant_masks",
  "seq_lengths",
]);

/**
 * The plain trainer: one loss, by default the next-token loss over `labels`, in the loop that all trainers share. Extend
 * it and override {@link computeLoss} to train on anything else.
 *
 * @example
 * class Distilled extends Trainer {
 *   override computeLoss(model: CausalLM, inputs: TracedFeeds) {
 *     const { sum, weight } = this.tokenLoss(model, inputs);
 *     return { sum: sum.add(penalty(model, inputs)), weight };
 *   }
 * }
 */
export class Trainer<Row extends object = object> extends BaseTrainer<Inputs> {
  protected override readonly args: TrainingValues;
  readonly #data: TrainerOptions<Row>;

  constructor(options: TrainerOptions<Row>) {
    super(options);
    this.args = (options.args ?? new TrainingArguments()).values;
    this.#data = options;
  }

  /** What the task is called where there are several: `loss/craft_base`. Not "contrastive" or "self_align". */
  protected get taskName(): string {
    return "base";
  }

  /**
   * Traced. The loss of a micro-batch. `inputs` are the tensors that the data collator gave, by its names; where they
   * have `labels` of the shape of `input_ids`, int64 [rows, length], also the lists that the token loss goes by:
   * `label_positions`, `label_ids` and `label_weights`, see {@link labelPositions}.
   *
   * A sum with its weight counts by what it holds, whatever the accumulation is: a window's gradient is the gradient of
   * all its sums over all its weights. A mean, a scalar, counts the same for each micro-batch of a window, as in
   * transformers; in evaluations it counts by rows.
   */
  computeLoss(model: CausalLM, inputs: TracedFeeds): ComputedLoss {
    return this.tokenLoss(model, inputs);
  }

  /** Traced. Next-token prediction over `labels`: the summed loss, and the number of labels. */
  protected tokenLoss(model: CausalLM, inputs: TracedFeeds): SummedLoss {
    return causalTokenLoss(model, inputs, this.args.labelSmoothingFactor);
  }

  protected async prepare(): Promise<TrainingParts<Inputs>> {
    const { trainDataset, evalDataset, modules } = this.#data;
    const { perDeviceTrainBatchSize: size, perDeviceEvalBatchSize: evalSize } = this.args;
    const batches = await this.#batches(trainDataset, "train_dataset", size, true);
    const evaluations: Evaluation[] = [];
    if (evalDataset !== undefined) {
      const loader = await this.#batches(evalDataset, "eval_dataset", evalSize, false);
      const objective = this.#objective("by_rows");
      evaluations.push((model, onPrediction) =>
        evaluateObjective(model, objective, loader, objective.name, onPrediction),
      );
    }
    return {
      objective: this.#objective("once"),
      batches,
      evaluations,
      modules,
      labelledRows: () => this.#tokenRows(trainDataset, "train_dataset"),
    };
  }

  #objective(meansCount: "once" | "by_rows"): ComputedObjective {
    const computeLoss = (model: CausalLM, inputs: TracedFeeds) => this.computeLoss(model, inputs);
    return new ComputedObjective({ name: this.taskName, computeLoss, meansCount });
  }

  async #batches(
    rows: Rows<Row>,
    name: string,
    batchSize: number,
    training: boolean,
  ): Promise<Loader<Inputs>> {
    const { seed, dataloaderDropLast, groupByLength } = this.args;
    const { dataCollator } = this.#data;
    const common = { batchSize, seed, shuffle: training, dropLast: training && dataloaderDropLast };
    const byLength = groupByLength || !training;
    if (dataCollator === undefined) {
      const { dataset, lengths } = await this.#tokenRows(rows, name);
      const { collate } = new DataCollatorForLanguageModeling({ padTokenId: this.padTokenId() });
      const inputs = (some: readonly PreparedRow[], where: readonly string[]): Inputs =>
        languageModelingInputs(collate(some, where));
      return new DataLoader({ dataset, collate: inputs, ...common, ...(byLength ? { lengths } : {}) });
    }
    const collate = typeof dataCollator === "function" ? dataCollator : dataCollator.collate;
    const dataset: Dataset<Row> = datasetOf(rows, name);
    const lengths = groupByLength ? await rowLengths(dataset) : undefined;
    return new DataLoader({
      dataset,
      collate: async (some, where) => checkInputs(await collate(some, where)),
      ...common,
      ...(lengths && { lengths }),
    });
  }

  /** Rows of tokens, checked against the model. @throws CraftError for rows that have none. */
  async #tokenRows(rows: Rows<Row>, name: string): Promise<Prepared<PreparedRow>> {
    const raw = datasetOf(rows, name);
    const first = raw.length > 0 ? await raw.row(0) : { input_ids: [] };
    const columns = Object.keys(first);
    if ((column(first, "input_ids") ?? undefined) === undefined) {
      const remedy = "Tokenise the rows, give a dataCollator that makes tensors of them, or use SFTTrainer";
      throw missingColumn(first, ["input_ids"], raw.where(0), remedy);
    }
    const unread = columns.filter((each) => !readColumns.has(each));
    if (unread.length > 0 && this.#data.dataCollator === undefined)
      this.notice(`${name}: no dataCollator reads ${unread.join(", ")}, so computeLoss does not see them`);
    const prepared = await prepareRowsFor(this.model.shape, raw, undefined, {});
    for (const line of describeRows(prepared, this.model.shape)) this.notice(`${name}: ${line}`);
    return prepared;
  }
}
