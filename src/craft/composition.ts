/** @file The contrastive side of a run, over any trainer. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/index.js";
import { constant, drawsRandomNumbers } from "../tensor/index.js";
import type {
  BaseTrainerOptions,
  ComposableTrainer,
  Evaluation,
  RunParts,
  TrainingParts,
} from "../trainers/index.js";
import { describeRows, type Rows } from "../trainers/rows.js";
import { SFTObjective } from "../trainers/sft/objective.js";
import { evaluateObjective, type Objective } from "../training/index.js";
import { craftMixture } from "./balancing.js";
import type { CraftConfig, CraftedArguments } from "./config.js";
import { checkCraftBundle, type CRAFTCollator, type CraftDatasetBundle } from "./data/index.js";
import { craftLogEntry } from "./log_entry.js";
import { InfoNCELoss, NegativeQueue, temperatureRange } from "./losses/index.js";
import { ContrastiveMemory, ContrastiveObjective, SelfAlignObjective } from "./objectives/index.js";
import { checkPackedRows } from "./packed_rows.js";
import { SelfPairsObjective } from "./self_pairs.js";
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

export interface CompositionOptions<Batch>
  extends CraftDataOptions<Batch>, Pick<BaseTrainerOptions, "trainDataset" | "tokenizer"> {
  readonly args: CraftConfig<CraftedArguments>;
}

/** Where CRAFT's projection head and temperature are saved. */
const craftFile = "craft.safetensors";

/** Adds to the parts of a run the contrastive objective, its data, and the mixture of both. */
export class CraftComposition<Batch> {
  readonly bundle: CraftDatasetBundle<object, object>;
  readonly #options: CompositionOptions<Batch>;
  readonly #args: CraftedArguments;
  #collator: CRAFTCollator | undefined;
  #nce: InfoNCELoss | undefined;
  #limited = false;

  /** @throws CraftError for options and data that do not go together. */
  constructor(options: CompositionOptions<Batch>) {
    this.#options = options;
    this.#args = options.args.values;
    this.bundle = bundleOf(options, this.#args);
    options.args.requireStrategy(this.bundle.strategy);
    checkPackedRows(this.#args, this.bundle.strategy, options);
  }

  /** The contrastive loss with its projection head; there once training has begun. */
  get infoNCE(): InfoNCELoss {
    if (this.#nce === undefined)
      throw new CraftError({ subject: "infoNCE", reason: "is made when train() begins" });
    return this.#nce;
  }

  /** Rows for the base trainer: columns may have other names, and are then read as if they had the standard ones. */
  rowsForBase(rows: Rows, name: string): Rows {
    return this.bundle.strategy === "self_align" ? withStandardColumns(rows, name, this.#args) : rows;
  }

  /** @param base what the trainer would run without CRAFT */
  async compose(
    trainer: ComposableTrainer<Batch>,
    parts: TrainingParts<Batch>,
    base: RunParts,
  ): Promise<RunParts> {
    const args = this.#args;
    const { model } = trainer;
    const { objective } = parts;
    const shares = parts.shares ?? { [objective.name]: 1 };
    for (const task of Object.keys(shares)) requireOwnName(task);
    if (args.craftDebug) trainer.notice(String(this.#options.args.explain()));
    requireDropout(
      args,
      drawsRandomNumbers(() => model.hiddenStates(constant([[0]], "int64"))),
    );
    const smoothing = sharedSmoothing(objective);
    const { loader, beta } = await this.#windows(trainer, parts, smoothing !== undefined);
    const shared = smoothing !== undefined && this.bundle.strategy === "self_align";
    requireSomethingToLearn(args, beta, objective.name, shared);
    const evaluations = await this.#evaluations(trainer, objective.name);
    const nce = this.#lossFor(model);
    const { mixture, carried } = craftMixture(args, shares);
    const memory = this.#memoryFor(model);
    const pooled = {
      nce,
      memory,
      chunkSize: args.craftUseGradcache ? args.craftGradcacheChunkSize : undefined,
    };
    const views = args.craftSelfAlignViews;
    return {
      ...base,
      objectives: [
        ...base.objectives,
        new ContrastiveObjective(pooled),
        smoothing === undefined
          ? new SelfPairsObjective({ ...pooled, views })
          : new SelfAlignObjective({ ...pooled, views, labelSmoothing: smoothing }),
      ],
      loader,
      mixture,
      evaluations: [...base.evaluations, ...evaluations],
      modules: { ...base.modules, [craftFile]: { craft_loss: nce } },
      describe: (totals, means) => ({
        ...base.describe?.(totals, means),
        ...craftLogEntry(args, objective.name, shares, totals, means),
      }),
      taskNorms: args.craftReportMetrics.includes("gradient_norm"),
      afterStep: async () => {
        await base.afterStep?.();
        this.#limitTemperature(trainer, nce);
        memory.queue?.advance();
      },
      carried: { ...base.carried, ...memory.carried(), ...carried },
      dispose: () => {
        memory.queue?.dispose();
        base.dispose?.();
      },
    };
  }

  async #windows(
    trainer: ComposableTrainer<Batch>,
    parts: TrainingParts<Batch>,
    shared: boolean,
  ): Promise<CraftWindows> {
    const { objective, batches } = parts;
    const data = await this.#prepareData(trainer, parts);
    const base = { objective: objective.name, batches, shared };
    const windows = await craftWindows(data, this.#args, this.#options, base, (text) => trainer.notice(text));
    const { bundle, collator } = data;
    if (windows.beta < 1 && windows.own) await checkCraftBundle(bundle, collator.check);
    return windows;
  }

  async #prepareData(
    trainer: ComposableTrainer<Batch>,
    { objective, labelledRows }: TrainingParts<Batch>,
  ): Promise<CraftData> {
    const args = this.#args;
    const { strategy } = this.bundle;
    const pairs =
      this.bundle.strategy === "paired_dataset"
        ? await this.#pairs(trainer, this.bundle.contrastive, "contrastive_dataset")
        : undefined;
    if (strategy === "self_align" && labelledRows === undefined) throw noAnswers(objective.name);
    const wanted = strategy === "self_align" || this.#options.craftLoaderFactory !== undefined;
    const rows = wanted ? await labelledRows?.() : undefined;
    const pairsAtATime = args.craftContrastiveBatchSize ?? args.perDeviceTrainBatchSize;
    const alone = (pairs?.negatives.fewest ?? 0) > 0;
    if (pairsAtATime < 2 && args.craftBeta < 1 && !alone) throw noNegatives(args.craftContrastiveBatchSize);
    const contrasted = pairs ?? rows;
    if (args.craftPooling === "cls" && contrasted !== undefined)
      await requireDifferentBeginnings(contrasted.dataset);
    const sft = rows?.dataset ?? this.bundle.sft;
    const bundle: CraftData["bundle"] =
      pairs === undefined
        ? { strategy: "self_align", sft }
        : { strategy: "paired_dataset", sft, contrastive: pairs.dataset };
    return { pairs, rows, bundle, collator: this.#collatorFor(trainer, alone ? 1 : 2), pairsAtATime };
  }

  async #pairs(trainer: ComposableTrainer<Batch>, rows: Rows, name: string) {
    const { contrastiveColumns: columns, tokenizer } = this.#options;
    const { model } = trainer;
    const prepared = await pairsOf(rows, name, { args: this.#args, columns, tokenizer, model });
    for (const line of describeRows(prepared, model.shape)) trainer.notice(`${name}: ${line}`);
    return prepared;
  }

  #memoryFor({ shape }: CausalLM): ContrastiveMemory {
    const { craftProjectionDim, craftNegativeStrategy, craftNegativeQueueSize: size } = this.#args;
    const dim = craftProjectionDim ?? shape.hiddenSize;
    const queue = craftNegativeStrategy === "queue" ? new NegativeQueue({ size, dim }) : undefined;
    return new ContrastiveMemory(dim, queue);
  }

  /** Said once, since a temperature that is pushed out of its range is likely to be so at every step. */
  #limitTemperature(trainer: ComposableTrainer<Batch>, nce: InfoNCELoss): void {
    if (!nce.limitTemperature() || this.#limited) return;
    this.#limited = true;
    const { min, max } = temperatureRange;
    trainer.notice(`the learnt temperature left [${min}, ${max}] and is kept inside from here on`);
  }

  #lossFor({ shape }: CausalLM): InfoNCELoss {
    const args = this.#args;
    this.#nce ??= new InfoNCELoss({
      hiddenSize: shape.hiddenSize,
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

  #collatorFor(trainer: ComposableTrainer<Batch>, minimumPairs: 1 | 2): CRAFTCollator {
    const args = this.#args;
    const { maxLength, padToMultipleOf } = args;
    this.#collator ??= collatorOf(this.#options.craftCollator, {
      padTokenId: trainer.padTokenId(),
      ...(maxLength === undefined ? {} : { maxLength }),
      ...(padToMultipleOf === undefined ? {} : { padToMultipleOf }),
      assistantMaskStrategy: args.craftAssistantMaskStrategy,
      selfAlignViews: args.craftSelfAlignViews,
      ...(minimumPairs === 1 ? { minimumPairs } : {}),
    });
    return this.#collator;
  }

  async #evaluations(trainer: ComposableTrainer<Batch>, task: string): Promise<Evaluation[]> {
    const { contrastiveEvalDataset } = this.#options;
    if (contrastiveEvalDataset === undefined) return [];
    const name = "contrastive_eval_dataset";
    const pairs = await this.#pairs(trainer, contrastiveEvalDataset, name);
    const size = this.#args.craftContrastiveBatchSize ?? this.#args.perDeviceEvalBatchSize;
    const { collatePairs } = this.#collatorFor(trainer, 2);
    const loader = await evaluationPairs(pairs, name, size, collatePairs, (text) => trainer.notice(text));
    return [
      (model, onPrediction) => {
        const objective = new ContrastiveObjective({ nce: this.#lossFor(model) });
        return evaluateObjective(model, objective, loader, task, onPrediction);
      },
    ];
  }
}

/**
 * The label smoothing of the token loss, if that is what the objective computes: a forward pass that is there for pairs
 * then gives it too. A class that extends it has a loss of its own, which only its own batches give.
 */
function sharedSmoothing(objective: Objective<never>): number | undefined {
  const plain = objective instanceof SFTObjective && objective.constructor === SFTObjective;
  return plain ? objective.labelSmoothing : undefined;
}

/** @throws CraftError for a base objective that bears the name of a contrastive one. */
function requireOwnName(name: string): void {
  if (name !== "contrastive" && name !== "self_align") return;
  throw new CraftError({
    subject: "taskName",
    value: name,
    reason: "is the name of an objective that CRAFT adds",
    remedy: "Give the trainer's task another one.",
  });
}

const noAnswers = (task: string): CraftError =>
  new CraftError({
    subject: "craft_strategy",
    value: "self_align",
    reason: `the data of a ${task} trainer has no answers to make pairs of`,
    remedy: "Give a contrastiveDataset.",
  });
