/** @file Trainers with the contrastive objective beside their own. */
import type { Prepared } from "../data/prepared.js";
import type { SftRowOptions } from "../data/sft_rows.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/index.js";
import { constant, drawsRandomNumbers } from "../tensor/index.js";
import { SFTTrainer, type Rows, type SFTTrainerOptions } from "../trainers/sft/trainer.js";
import type { Evaluation, TrainingParts, TrainOptions } from "../trainers/trainer.js";
import { evaluateObjective, type LogEntry, type TrainOutput } from "../training/index.js";
import { craftMixture } from "./balancing.js";
import { checkPackedRows } from "./packed_rows.js";
import { CRAFTSFTConfig, type CRAFTSFTArguments } from "./config.js";
import {
  checkCraftBundle,
  type ContrastiveColumns,
  type CRAFTCollator,
  type CraftDatasetBundle,
  type PreparedPairs,
} from "./data/index.js";
import { craftLogEntry } from "./log_entry.js";
import { InfoNCELoss, NegativeQueue, temperatureRange } from "./losses/index.js";
import { ContrastiveMemory, ContrastiveObjective, SelfAlignObjective } from "./objectives/index.js";
import {
  bundleOf,
  collatorOf,
  noNegatives,
  requireDifferentBeginnings,
  requireDropout,
  requireSomethingToLearn,
  withStandardColumns,
  type CraftDataOptions,
} from "./trainer_data.js";
import { craftWindows, type CraftData, type CraftWindows } from "./trainer_loaders.js";
import { evaluationPairs, pairsOf } from "./trainer_pairs.js";

export interface CRAFTSFTTrainerOptions
  extends Omit<SFTTrainerOptions, "args" | "dataCollator">, CraftDataOptions {
  readonly args?: CRAFTSFTConfig;
  /** The columns of text in contrastive datasets. */
  readonly contrastiveColumns?: ContrastiveColumns | undefined;
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
  readonly #config: CRAFTSFTConfig;
  readonly #craft: CRAFTSFTTrainerOptions;
  readonly #bundle: CraftDatasetBundle<object, object>;
  #collator: CRAFTCollator | undefined;
  #nce: InfoNCELoss | undefined;
  #queue: NegativeQueue | undefined;
  #limited = false;

  /** @throws CraftError for options and data that do not go together. */
  constructor(options: CRAFTSFTTrainerOptions) {
    const args = options.args ?? new CRAFTSFTConfig();
    const { dataCollator: _collator, ...rest } = options;
    super({ ...rest, args });
    this.#config = args;
    this.args = args.values;
    this.#craft = options;
    this.#bundle = bundleOf(options, this.args);
    args.requireStrategy(this.#bundle.strategy);
    checkPackedRows(this.args, this.#bundle.strategy, options);
  }

  /** The contrastive loss with its projection head; there once training has begun. */
  get infoNCE(): InfoNCELoss {
    if (this.#nce === undefined)
      throw new CraftError({ subject: "infoNCE", reason: "is made when train() begins" });
    return this.#nce;
  }

  protected override async prepare(model: CausalLM): Promise<TrainingParts> {
    const { args } = this;
    if (args.craftDebug) this.notice(String(this.#config.explain()));
    this.addNoise(model);
    requireDropout(
      args,
      drawsRandomNumbers(() => model.hiddenStates(constant([[0]], "int64"))),
    );
    const { loader, beta } = await this.#windows();
    requireSomethingToLearn(args.craftAlpha, beta, this.#bundle.strategy);
    const nce = this.#lossFor(model);
    const { mixture, carried } = craftMixture(args);
    const memory = this.#memoryFor(model);
    const chunkSize = args.craftUseGradcache ? args.craftGradcacheChunkSize : undefined;
    const options = { nce, memory, chunkSize };
    const objectives = [
      this.tokenObjective(),
      new ContrastiveObjective(options),
      new SelfAlignObjective({
        ...options,
        views: args.craftSelfAlignViews,
        labelSmoothing: args.labelSmoothingFactor,
      }),
    ];
    return {
      objectives,
      loader,
      mixture,
      evaluations: await this.evaluations(),
      modules: { craft_loss: nce },
      describe: (totals, means) => craftLogEntry(args, totals, means),
      taskNorms: args.craftReportMetrics.includes("gradient_norm"),
      afterStep: () => {
        this.#limitTemperature(nce);
        memory.queue?.advance();
      },
      carried: { ...memory.carried(), ...carried },
    };
  }

  override train(options?: TrainOptions): Promise<TrainOutput> {
    return super.train(options).finally(() => this.#queue?.dispose());
  }

  override evaluate(): Promise<LogEntry> {
    return super.evaluate().finally(() => this.#queue?.dispose());
  }

  #memoryFor(model: CausalLM): ContrastiveMemory {
    const { craftProjectionDim, craftNegativeStrategy, craftNegativeQueueSize: size } = this.args;
    const dim = craftProjectionDim ?? model.shape.hiddenSize;
    this.#queue = craftNegativeStrategy === "queue" ? new NegativeQueue({ size, dim }) : undefined;
    return new ContrastiveMemory(dim, this.#queue);
  }

  async #windows(): Promise<CraftWindows> {
    const data = await this.#prepareData();
    const { collator } = data;
    const base = {
      collate: this.args.paddingFree ? this.collate() : collator.collateSft,
      loader: () => this.batches(data.rows, this.args.perDeviceTrainBatchSize, true),
    };
    const windows = await craftWindows(data, this.args, this.#craft, base, (text) => this.notice(text));
    if (windows.beta < 1 && windows.own) await checkCraftBundle(data.bundle, collator.check);
    return windows;
  }

  async #prepareData(): Promise<CraftData> {
    const { args } = this;
    const rows = await this.prepareRows(this.#bundle.sft, "train_dataset", args.packing);
    const pairs =
      this.#bundle.strategy === "paired_dataset"
        ? await this.#preparePairs(this.#bundle.contrastive, "contrastive_dataset")
        : undefined;
    const pairsAtATime = args.craftContrastiveBatchSize ?? args.perDeviceTrainBatchSize;
    const alone = (pairs?.negatives.fewest ?? 0) > 0;
    if (pairsAtATime < 2 && args.craftBeta < 1 && !alone) throw noNegatives(args.craftContrastiveBatchSize);
    if (args.craftPooling === "cls") await requireDifferentBeginnings((pairs ?? rows).dataset);
    const bundle: CraftData["bundle"] =
      pairs === undefined
        ? { strategy: "self_align", sft: rows.dataset }
        : { strategy: "paired_dataset", sft: rows.dataset, contrastive: pairs.dataset };
    return { rows, pairs, bundle, collator: this.#collatorFor(alone ? 1 : 2), pairsAtATime };
  }

  /** Said once, since a temperature that is pushed out of its range is likely to be so at every step. */
  #limitTemperature(nce: InfoNCELoss): void {
    if (!nce.limitTemperature() || this.#limited) return;
    this.#limited = true;
    const { min, max } = temperatureRange;
    this.notice(`the learnt temperature left [${min}, ${max}] and is kept inside from here on`);
  }

  /** Columns may have other names; the rows are then read as if they had the standard ones. */
  protected override async prepareRows(
    rows: Rows,
    name: string,
    packing: boolean,
  ): Promise<Prepared<PreparedRow>> {
    const own = this.#bundle.strategy === "self_align" ? withStandardColumns(rows, name, this.args) : rows;
    return super.prepareRows(own, name, packing);
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

  #collatorFor(minimumPairs: 1 | 2): CRAFTCollator {
    const { args } = this;
    this.#collator ??= collatorOf(this.#craft.dataCollator, {
      padTokenId: this.padTokenId(),
      maxLength: args.maxLength,
      ...(args.padToMultipleOf === undefined ? {} : { padToMultipleOf: args.padToMultipleOf }),
      assistantMaskStrategy: args.craftAssistantMaskStrategy,
      selfAlignViews: args.craftSelfAlignViews,
      ...(minimumPairs === 1 ? { minimumPairs } : {}),
    });
    return this.#collator;
  }

  async #preparePairs(rows: Rows, name: string): Promise<PreparedPairs> {
    const { contrastiveColumns: columns, tokenizer } = this.#craft;
    const prepared = await pairsOf(rows, name, { args: this.args, columns, tokenizer, model: this.model });
    this.reportRows(prepared, name);
    return prepared;
  }

  protected override async evaluations(): Promise<Evaluation[]> {
    const { contrastiveEvalDataset } = this.#craft;
    const own = await super.evaluations();
    if (contrastiveEvalDataset === undefined) return own;
    const name = "contrastive_eval_dataset";
    const pairs = await this.#preparePairs(contrastiveEvalDataset, name);
    const size = this.args.craftContrastiveBatchSize ?? this.args.perDeviceEvalBatchSize;
    const { collatePairs } = this.#collatorFor(2);
    const loader = await evaluationPairs(pairs, name, size, collatePairs, (text) => this.notice(text));
    const contrastive: Evaluation = (model, onPrediction) => {
      const objective = new ContrastiveObjective({ nce: this.#lossFor(model) });
      return evaluateObjective(model, objective, loader, "sft", onPrediction);
    };
    return [...own, contrastive];
  }
}
