/** @file Trainers with the contrastive objective beside their own. */
import { CraftError } from "../errors.js";
import { DataLoader } from "../data/loader.js";
import { Dataset } from "../data/dataset.js";
import type { Prepared } from "../data/prepared.js";
import type { SftRowOptions } from "../data/sft_rows.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import type { CausalLM } from "../models/index.js";
import { SFTObjective } from "../trainers/sft/objective.js";
import { requireVocabulary } from "../trainers/sft/rows.js";
import { SFTTrainer, type Rows, type SFTTrainerOptions } from "../trainers/sft/trainer.js";
import type { Evaluation, TrainingParts } from "../trainers/trainer.js";
import { evaluateObjective, FixedMixture, type LogEntry, type RunningTotals } from "../training/index.js";
import { CRAFTSFTConfig, type CRAFTSFTArguments } from "./config.js";
import {
  CRAFTCollator,
  CRAFTMixedDataLoader,
  checkCraftBundle,
  makeCraftDatasets,
  preparePairs,
  type CraftDatasetBundle,
  type CraftStrategy,
  type PreparedPair,
  type PreparedPairs,
} from "./data/index.js";
import { InfoNCELoss, requireNegatives, temperatureRange } from "./losses/index.js";
import { ContrastiveObjective, RepresentationReference, SelfAlignObjective } from "./objectives.js";

/** The column in which prepared rows have the assistant's mask. */
const assistantMasks = "assistant_masks";

export interface CRAFTSFTTrainerOptions extends Omit<SFTTrainerOptions, "args" | "dataCollator"> {
  readonly args?: CRAFTSFTConfig;
  /** What to train on, from {@link makeCraftDatasets}; or give contrastiveDataset. */
  readonly craftBundle?: CraftDatasetBundle<object, object>;
  /** Pairs: tokens in input_ids and input_ids_tgt, or text in the columns that contrastiveColumns names. */
  readonly contrastiveDataset?: Rows | undefined;
  readonly contrastiveColumns?: { readonly anchor: string; readonly positive: string } | undefined;
  /** Pairs to report contrastive loss and accuracy on at each evaluation. */
  readonly contrastiveEvalDataset?: Rows | undefined;
  readonly dataCollator?: CRAFTCollator;
}

/**
 * SFT with a contrastive objective: each step's gradient is alpha times the token loss's, over all labels of the
 * step, plus (1 - alpha) times the InfoNCE loss's, over all its pairs.
 */
export class CRAFTSFTTrainer extends SFTTrainer {
  protected override readonly args: CRAFTSFTArguments;
  readonly #craft: CRAFTSFTTrainerOptions;
  readonly #bundle: CraftDatasetBundle<object, object>;
  #nce: InfoNCELoss | undefined;
  #limited = false;

  constructor(options: CRAFTSFTTrainerOptions) {
    const args = options.args ?? new CRAFTSFTConfig();
    const { dataCollator: _collator, ...rest } = options;
    super({ ...rest, args });
    this.args = args.values;
    this.#craft = options;
    this.#bundle = bundleOf(options, this.args);
  }

  /** The contrastive loss with its projection head; there once training has begun. */
  get infoNCE(): InfoNCELoss {
    if (this.#nce === undefined)
      throw new CraftError({ subject: "infoNCE", reason: "is made when train() begins" });
    return this.#nce;
  }

  protected override async prepare(model: CausalLM): Promise<TrainingParts> {
    const { args } = this;
    const rows = await this.prepareRows(this.#bundle.sft, "train_dataset");
    const pairs =
      this.#bundle.strategy === "paired_dataset"
        ? await this.#preparePairs(this.#bundle.contrastive, "contrastive_dataset")
        : undefined;
    const collator = this.#collator();
    const pairsAtATime = args.craftContrastiveBatchSize ?? args.perDeviceTrainBatchSize;
    if (pairsAtATime < 2 && args.craftBeta < 1) throw noNegatives(args.craftContrastiveBatchSize);
    const bundle: CraftDatasetBundle<PreparedRow, PreparedPair> =
      pairs === undefined
        ? { strategy: "self_align", sft: rows.dataset }
        : { strategy: "paired_dataset", sft: rows.dataset, contrastive: pairs.dataset };
    const loader = new CRAFTMixedDataLoader({
      bundle,
      collator,
      collateSft: collator.collateSft,
      batchSize: args.perDeviceTrainBatchSize,
      contrastiveBatchSize: pairsAtATime,
      gradientAccumulationSteps: args.gradientAccumulationSteps,
      beta: args.craftBeta,
      betaMode: args.craftBetaMode,
      lengthStrategy: args.craftLengthStrategy,
      seed: args.seed,
      ...(args.dataloaderDropLast ? { dropLast: true } : {}),
      ...(args.groupByLength ? { lengths: rows.lengths } : {}),
      ...(args.groupByLength && pairs !== undefined ? { contrastiveLengths: pairs.lengths } : {}),
      ...(pairs === undefined ? {} : { contrastiveGroups: pairs.groups }),
      onNotice: (notice) => this.notice(notice),
    });
    requireSomethingToLearn(args.craftAlpha, loader.beta, bundle.strategy);
    if (loader.beta < 1) await checkCraftBundle(bundle, collator.check);
    const nce = this.#lossFor(model);
    const size = args.craftProjectionDim ?? model.shape.hiddenSize;
    const reference = new RepresentationReference(size);
    const objectives = [
      new SFTObjective(),
      new ContrastiveObjective(nce, reference),
      new SelfAlignObjective(nce, reference, args.craftSelfAlignViews),
    ];
    return {
      objectives,
      loader,
      mixture: new FixedMixture({ sft: args.craftAlpha, contrastive: 1 - args.craftAlpha }),
      evaluations: await this.evaluations(),
      modules: { craft_loss: nce },
      describe: (totals, norms) => this.#describe(totals, norms),
      afterStep: () => this.#limitTemperature(nce),
      carried: reference,
    };
  }

  /** Said once, since a temperature that is pushed out of its range is likely to be so at every step. */
  #limitTemperature(nce: InfoNCELoss): void {
    if (!nce.limitTemperature() || this.#limited) return;
    this.#limited = true;
    const { min, max } = temperatureRange;
    this.notice(`the learnt temperature left [${min}, ${max}] and is kept inside from here on`);
  }

  /** The assistant's mask may be in a column of another name; it is then read as `assistant_masks` is. */
  protected override async prepareRows(rows: Rows, name: string): Promise<Prepared<PreparedRow>> {
    const { craftAssistantMaskKey: key } = this.args;
    if (key === assistantMasks) return super.prepareRows(rows, name);
    const renamed = named(rows, name).map((row) =>
      Object.hasOwn(row, key) ? { ...row, [assistantMasks]: Reflect.get(row, key) as unknown } : row,
    );
    return super.prepareRows(renamed, name);
  }

  protected override rowOptions(): SftRowOptions {
    const provided = this.args.craftAssistantMaskStrategy === "provided";
    const masked = provided && this.#bundle.strategy === "self_align";
    return { ...super.rowOptions(), ...(masked ? { returnAssistantMasks: true } : {}) };
  }

  #lossFor(model: CausalLM): InfoNCELoss {
    const { args } = this;
    this.#nce ??= new InfoNCELoss({
      hiddenSize: model.shape.hiddenSize,
      projectionDim: args.craftProjectionDim,
      projectionDropout: args.craftProjectionDropout,
      pooling: args.craftPooling,
      temperature: args.craftTemperature,
      learnableTemperature: args.craftLearnableTemperature,
      symmetric: args.craftSymmetric,
      seed: args.seed,
    });
    return this.#nce;
  }

  #collator(): CRAFTCollator {
    if (this.#craft.dataCollator !== undefined) return this.#craft.dataCollator;
    const { args } = this;
    return new CRAFTCollator({
      padTokenId: this.padTokenId(),
      maxLength: args.maxLength,
      ...(args.padToMultipleOf === undefined ? {} : { padToMultipleOf: args.padToMultipleOf }),
      assistantMaskStrategy: args.craftAssistantMaskStrategy,
      selfAlignViews: args.craftSelfAlignViews,
    });
  }

  async #preparePairs(rows: Rows, name: string): Promise<PreparedPairs> {
    const { contrastiveColumns: columns } = this.#craft;
    const prepared = await preparePairs(named(rows, name), this.options.tokenizer, {
      maxLength: this.args.maxLength,
      onBadRow: this.args.onBadRow,
      ...(columns === undefined ? {} : { columns }),
    });
    const { dataset } = prepared;
    const { shape } = this.model;
    for (let i = 0; i < dataset.length; i++) {
      const pair = await dataset.row(i);
      requireVocabulary(pair.input_ids, "of the anchor", dataset.where(i), shape);
      requireVocabulary(pair.input_ids_tgt, "of the positive", dataset.where(i), shape);
    }
    this.reportRows(prepared, name);
    return prepared;
  }

  protected override async evaluations(): Promise<Evaluation[]> {
    const { contrastiveEvalDataset } = this.#craft;
    const own = await super.evaluations();
    if (contrastiveEvalDataset === undefined) return own;
    const pairs = await this.#preparePairs(contrastiveEvalDataset, "contrastive_eval_dataset");
    const size = this.args.craftContrastiveBatchSize ?? this.args.perDeviceEvalBatchSize;
    const dropLast = pairs.dataset.length % size === 1;
    if (dropLast)
      this.notice(
        "contrastive_eval_dataset: the last pair is left out, since a batch of one has no negative",
      );
    const loader = new DataLoader({
      dataset: pairs.dataset,
      batchSize: size,
      collate: this.#collator().collatePairs,
      shuffle: false,
      dropLast,
    });
    // A batch without negatives comes up now, and not in the middle of the training.
    for await (const batch of loader) requireNegatives(batch, "batch of contrastive_eval_dataset");
    const contrastive: Evaluation = (model) =>
      evaluateObjective(model, new ContrastiveObjective(this.#lossFor(model)), loader, "sft");
    return [...own, contrastive];
  }

  #describe(totals: RunningTotals, norms: Readonly<Record<string, number>>): LogEntry {
    const { craftAlpha: alpha } = this.args;
    const [sft, contrastive] = [totals.loss("sft"), totals.loss("contrastive")];
    return {
      "loss/craft_sft": sft,
      "loss/craft_contrast": contrastive,
      "loss/craft_total": alpha * (sft ?? 0) + (1 - alpha) * (contrastive ?? 0),
      ...totals.metrics(),
      ...Object.fromEntries(Object.entries(norms).map(([task, norm]) => [`grad_norm/${task}`, norm])),
    };
  }
}

const noNegatives = (size: number | undefined): CraftError =>
  new CraftError({
    subject: "craft_contrastive_batch_size",
    value: size ?? "per_device_train_batch_size = 1",
    reason: "a contrastive batch of one pair has no negatives, so there is nothing to contrast",
    remedy: "Set it to 2 or more",
  });

/** @throws CraftError for an alpha that leaves out the only loss that beta lets run. */
function requireSomethingToLearn(alpha: number, beta: number, strategy: CraftStrategy): void {
  const only = beta === 1 ? "SFT" : beta === 0 && strategy === "paired_dataset" ? "contrastive" : undefined;
  if (only === undefined || alpha !== (only === "SFT" ? 0 : 1)) return;
  throw new CraftError({
    subject: "craft_alpha",
    value: alpha,
    reason: `leaves out the ${only} loss, and with craft_beta = ${beta} there is no other: nothing would be learnt`,
    remedy: "Change craft_alpha or craft_beta",
  });
}

function bundleOf(
  options: CRAFTSFTTrainerOptions,
  args: CRAFTSFTArguments,
): CraftDatasetBundle<object, object> {
  const { craftBundle, contrastiveDataset, trainDataset } = options;
  if (craftBundle !== undefined) {
    if (contrastiveDataset !== undefined) {
      throw new CraftError({
        subject: "contrastiveDataset",
        reason: "is given beside craftBundle, which has one",
        remedy: "Give one of both.",
      });
    }
    if (args.craftStrategy !== undefined && args.craftStrategy !== craftBundle.strategy) {
      throw new CraftError({
        subject: "craft_strategy",
        value: args.craftStrategy,
        reason: `the bundle was made for ${craftBundle.strategy}`,
      });
    }
    return craftBundle;
  }
  return makeCraftDatasets<object, object>(named(trainDataset, "train_dataset"), {
    ...(contrastiveDataset === undefined
      ? {}
      : { contrastiveDataset: named(contrastiveDataset, "contrastive_dataset") }),
    ...(args.craftStrategy === undefined ? {} : { strategy: args.craftStrategy }),
  });
}

/** Rows in memory under the name by which errors are to call them. */
const named = (rows: Rows, name: string): Dataset<object> =>
  rows instanceof Dataset ? rows : Dataset.fromArray(rows, { name });
