/** @file What trainers on preferences share: rows, micro-batches, evaluations. */
import { Dataset } from "../../data/dataset.js";
import { DataLoader } from "../../data/loader.js";
import { PreferenceCollator, type PreferenceBatch } from "../../data/preference_collator.js";
import {
  preferencePreparer,
  preferenceTokens,
  type PreferenceRow,
  type PreferenceRowOptions,
} from "../../data/preference_rows.js";
import { prepareDataset, type Prepare, type Prepared } from "../../data/prepared.js";
import type { PreparedRow } from "../../data/tokenised_rows.js";
import { ignoredLabel } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import { evaluateObjective, type LogEntry, type Objective } from "../../training/index.js";
import { BaseTrainer, type BaseTrainerOptions } from "../base_trainer.js";
import type { Evaluation, TrainingParts } from "../parts.js";
import { datasetOf, describeRows, requireVocabulary, type Rows } from "../rows.js";
import type { PairArguments } from "./fields.js";

/** Prepared rows, with the number of tokens of each prompt with its chosen answer. */
export interface PreparedPreferences extends Prepared<PreferenceRow> {
  readonly chosenLengths: Int32Array;
}

/** Trains on pairs of texts of which one was preferred. */
export abstract class PreferenceTrainer extends BaseTrainer<PreferenceBatch> {
  protected abstract override readonly args: PairArguments;

  /** How rows are read. */
  protected abstract rowOptions(): PreferenceRowOptions;

  /** What is trained, and evaluated. */
  protected abstract objective(): Objective<PreferenceBatch> | Promise<Objective<PreferenceBatch>>;

  protected async prepare(): Promise<TrainingParts<PreferenceBatch>> {
    const { args, options } = this;
    const rows = await this.prepareRows(options.trainDataset, "train_dataset");
    const evaluated =
      options.evalDataset === undefined
        ? undefined
        : await this.prepareRows(options.evalDataset, "eval_dataset");
    const objective = await this.objective();
    return {
      objective,
      batches: this.batches(rows, args.perDeviceTrainBatchSize, true),
      evaluations: evaluated === undefined ? [] : [this.#evaluation(objective, evaluated)],
      labelledRows: () => Promise.resolve(chosenTexts(rows)),
    };
  }

  #evaluation(objective: Objective<PreferenceBatch>, rows: Prepared<PreferenceRow>): Evaluation {
    const loader = this.batches(rows, this.args.perDeviceEvalBatchSize, false);
    return async (model, onPrediction) =>
      this.evaluated(await evaluateObjective(model, objective, loader, objective.name, onPrediction));
  }

  /** The entry of an evaluation. */
  protected evaluated(entry: LogEntry): LogEntry {
    return entry;
  }

  /** Tokenises rows, checks them against the model, and reports what was cut or left out. */
  protected async prepareRows(rows: Rows, name: string): Promise<PreparedPreferences> {
    const { shape } = this.model;
    const options = this.rowOptions();
    const prepare = preferencePreparer(this.options.tokenizer, options);
    const longest: number[] = [];
    const chosenLengths: number[] = [];
    const checked: Prepare<PreferenceRow> = (row, where, notes) => {
      const prepared = prepare(row, where, notes);
      if (prepared === undefined) return undefined;
      for (const column of ["prompt_ids", "chosen_ids", "rejected_ids"] as const)
        requireVocabulary(prepared[column], column, where, shape);
      return prepared;
    };
    const prepared = await prepareDataset(datasetOf(rows, name), checked, {
      ...options,
      size: preferenceTokens,
      onKept: ({ prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected }) => {
        longest.push(prompt.length + Math.max(chosen.length, rejected.length));
        chosenLengths.push(prompt.length + chosen.length);
      },
    });
    for (const line of describeRows({ ...prepared, lengths: Int32Array.from(longest) }, shape))
      this.notice(`${name}: ${line}`);
    return { ...prepared, chosenLengths: Int32Array.from(chosenLengths) };
  }

  protected batches(
    rows: Prepared<PreferenceRow>,
    batchSize: number,
    training: boolean,
  ): DataLoader<PreferenceRow, PreferenceBatch> {
    const { seed, dataloaderDropLast, groupByLength } = this.args;
    return new DataLoader({
      dataset: rows.dataset,
      batchSize,
      collate: this.collator(Math.max(...rows.lengths)).collate,
      seed,
      shuffle: training,
      dropLast: training && dataloaderDropLast,
      ...(groupByLength || !training ? { lengths: rows.lengths } : {}),
    });
  }

  /** @param longest tokens in a row that holds a prompt and both answers */
  protected collator(longest: number): PreferenceCollator {
    const { padToMultipleOf, paddingFree } = this.args;
    return new PreferenceCollator({
      padTokenId: this.padTokenId(),
      paddingFree,
      sharePrompts: this.#sharing(longest),
      ...(padToMultipleOf === undefined ? {} : { padToMultipleOf }),
    });
  }

  /** Whether prompts are shared, which models that turn by the length of a text cannot do in long rows. */
  #sharing(longest: number): boolean | { readonly hiddenSize: number } {
    const { sharePrompts } = this.args;
    const { cacheLimits, shape } = this.model;
    const limit = Math.min(...cacheLimits);
    if (sharePrompts === false || longest <= limit)
      return sharePrompts === "auto" ? { hiddenSize: shape.hiddenSize } : sharePrompts;
    const reason =
      `the model turns positions by the length of a text beyond ${limit} tokens, ` +
      `and a row with prompt and both answers has ${longest}`;
    if (sharePrompts === true)
      throw new CraftError({
        subject: "share_prompts",
        value: true,
        reason,
        remedy: "Leave it out, or lower max_length.",
      });
    this.notice(`prompts are computed for each answer anew: ${reason}`);
    return false;
  }
}

/** Prompts with the answers that were chosen, as rows with labels on the answers. */
function chosenTexts({ dataset, report, chosenLengths }: PreparedPreferences): Prepared<PreparedRow> {
  const read = async (index: number): Promise<PreparedRow> => {
    const { prompt_ids: prompt, chosen_ids: chosen } = await dataset.row(index);
    const labels = new Int32Array(prompt.length + chosen.length).fill(ignoredLabel);
    labels.set(chosen, prompt.length);
    return { input_ids: Int32Array.from([...prompt, ...chosen]), labels };
  };
  return {
    dataset: new Dataset({
      name: dataset.name,
      length: dataset.length,
      where: (index) => dataset.where(index),
      read,
      close: () => dataset.close(),
    }),
    lengths: chosenLengths,
    report,
  };
}

export type PreferenceTrainerOptions = BaseTrainerOptions;
