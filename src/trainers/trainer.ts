/** @file What all trainers share: the model and its adapter, the loop, evaluation, saving and resuming. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import type { WindowLoader } from "../data/windows.js";
import { AutoModelForCausalLM, CausalLM, savePretrained } from "../models/index.js";
import type { Module } from "../nn/module.js";
import type { AdamW } from "../optim/index.js";
import { newAdapterConfig, writeAdapter } from "../peft/adapter_files.js";
import { LoraModel, type LoraConfig } from "../peft/lora.js";
import type { Parameter } from "../tensor/index.js";
import type { Tokenizer } from "../text/index.js";
import type { DType } from "../torch/dtype.js";
import { loadTorch } from "../torch/torch.js";
import type { TrainingArguments } from "../training/arguments.js";
import {
  pruneCheckpoints,
  readParameters,
  readTrainerState,
  resolveCheckpoint,
  writeFolderAtomically,
  writeParameters,
  writeTrainerState,
} from "../training/checkpoint.js";
import {
  ConsoleProgress,
  JsonlLog,
  prepareOutputDir,
  toMasterWeights,
  TrainingLoop,
  type LogEntry,
  type LoopState,
  type Mixture,
  type Objective,
  type RunningTotals,
  type TaggedBatch,
  type TrainingListener,
  type TrainOutput,
} from "../training/index.js";

/** Scores a model on data of its own; see evaluateObjective. */
export type Evaluation = (model: CausalLM) => Promise<LogEntry>;

/** What a trainer puts into the loop. */
export interface TrainingParts {
  readonly objectives: readonly Objective<never>[];
  readonly loader: WindowLoader<TaggedBatch>;
  readonly mixture: Mixture;
  readonly evaluations: readonly Evaluation[];
  /** Modules that are trained beside the model, by the name under which they are saved. */
  readonly modules?: Readonly<Record<string, Module>>;
  readonly describe?: (totals: RunningTotals, taskNorms: Readonly<Record<string, number>>) => LogEntry;
  readonly afterStep?: () => void;
}

export interface TrainerOptions {
  /** A model, a model with LoRA, or the folder of a model. */
  readonly model: CausalLM | LoraModel | string;
  /** Attaches new LoRA adapters and trains only those. */
  readonly peftConfig?: Partial<LoraConfig> | undefined;
  readonly tokenizer?: Tokenizer | undefined;
  /** Hear what happens, beside the console and log.jsonl. */
  readonly listeners?: readonly TrainingListener[];
}

const extraFile = "craft.safetensors";

/** A training run from its options to its output folder. */
export abstract class Trainer {
  protected readonly options: TrainerOptions;
  protected abstract readonly args: TrainingArguments & { readonly dtype?: DType | "auto" };
  #model: CausalLM | undefined;
  #lora: LoraModel | undefined;

  constructor(options: TrainerOptions) {
    this.options = options;
    if (options.model instanceof LoraModel) this.#lora = options.model;
    if (options.model instanceof CausalLM) this.#model = options.model;
    if (options.model instanceof LoraModel && options.peftConfig !== undefined) {
      throw new CraftError({
        subject: "peftConfig",
        reason: "is given with a model that has an adapter already",
        remedy: "Give one of both.",
      });
    }
  }

  /** Reads and prepares the data. Called once, when training or evaluation begins. */
  protected abstract prepare(model: CausalLM): Promise<TrainingParts>;

  /** The model that is trained; loaded when training begins if it was given as a folder. */
  get model(): CausalLM {
    const model = this.#lora?.model ?? this.#model;
    if (model === undefined)
      throw new CraftError({ subject: "model", reason: "is not loaded before train()" });
    return model;
  }

  /** The adapter that is trained, if any. */
  get lora(): LoraModel | undefined {
    return this.#lora;
  }

  /** Listeners of a run, the built-in ones first. */
  protected async listeners(append: boolean): Promise<TrainingListener[]> {
    const own: TrainingListener[] = [new JsonlLog(this.args.outputDir, append)];
    if (!this.args.disableTqdm) own.push(await ConsoleProgress.create());
    return [...own, ...(this.options.listeners ?? [])];
  }

  /**
   * Runs the training and writes the result into the output folder: the adapter, or the whole model; log.jsonl;
   * checkpoints on the way.
   *
   * @throws CraftError for bad data and options before anything is computed, and for a loss that is not finite.
   */
  async train(): Promise<TrainOutput> {
    const { args } = this;
    const resume = args.resumeFromCheckpoint;
    prepareOutputDir(args.outputDir, { overwrite: args.overwriteOutputDir, resume: resume !== false });
    const checkpoint = resolveCheckpoint(resume, args.outputDir);
    await this.#load();
    const parts = await this.prepare(this.model);
    const named = this.#named(parts);
    const listeners = await this.listeners(checkpoint !== undefined);
    const loop = new TrainingLoop({
      model: this.model,
      named,
      objectives: parts.objectives,
      loader: parts.loader,
      mixture: parts.mixture,
      args,
      listeners,
      evaluate: parts.evaluations.length === 0 ? undefined : () => this.#evaluate(parts),
      save: (kind, state, optimizer) => this.#save(kind, parts, state, optimizer),
      ...(parts.describe === undefined ? {} : { describe: parts.describe }),
      ...(parts.afterStep === undefined ? {} : { afterStep: parts.afterStep }),
    });
    try {
      if (checkpoint !== undefined) loop.restore(this.#restore(checkpoint, parts, loop.optimizer));
      return await loop.run();
    } finally {
      loop.dispose();
    }
  }

  /** Scores the model on the evaluation data. */
  async evaluate(): Promise<LogEntry> {
    await this.#load();
    return this.#evaluate(await this.prepare(this.model));
  }

  async #load(): Promise<void> {
    const { model, peftConfig } = this.options;
    await loadTorch();
    if (typeof model === "string" && this.#model === undefined) {
      this.#model = await AutoModelForCausalLM.fromPretrained(model, { dtype: this.args.dtype ?? "auto" });
    }
    if (peftConfig !== undefined && this.#lora === undefined) {
      this.#lora = LoraModel.create(this.model, peftConfig, this.args.seed);
    }
    if (this.#lora === undefined) toMasterWeights(this.model);
  }

  #named(parts: TrainingParts): (readonly [string, Parameter])[] {
    const own =
      this.#lora === undefined ? [...this.model.namedParameters()] : [...this.#lora.namedParameters()];
    return [...own.filter(([, parameter]) => parameter.trainable), ...extraParameters(parts)];
  }

  async #evaluate(parts: TrainingParts): Promise<LogEntry> {
    const entries: LogEntry[] = [];
    for (const evaluation of parts.evaluations) entries.push(await evaluation(this.model));
    return Object.assign({}, ...entries) as LogEntry;
  }

  /** Writes the adapter or the model, with the tokenizer, so that the folder can be loaded by itself. */
  async saveModel(folder: string): Promise<void> {
    const lora = this.#lora;
    if (lora === undefined) savePretrained(this.model, folder);
    else {
      const { r, loraAlpha, loraDropout, targetModules } = lora.config;
      const tensors = [...lora.adapters].map(
        ([path, { loraA, loraB }]) => [path, { loraA: loraA.value, loraB: loraB.value }] as const,
      );
      writeAdapter(folder, {
        config: newAdapterConfig({
          r,
          loraAlpha,
          loraDropout,
          targetModules: [...targetModules],
          baseModelNameOrPath: this.model.nameOrPath,
        }),
        tensors: new Map(tensors),
      });
    }
    await this.options.tokenizer?.save(folder);
  }

  async #save(
    kind: "checkpoint" | "final",
    parts: TrainingParts,
    state: LoopState,
    optimizer: AdamW,
  ): Promise<string> {
    const { outputDir, saveTotalLimit } = this.args;
    const extra = extraParameters(parts);
    const fill = async (folder: string): Promise<void> => {
      await this.saveModel(folder);
      if (extra.length > 0) writeParameters(join(folder, extraFile), extra);
    };
    if (kind === "final") {
      await fill(outputDir);
      return outputDir;
    }
    const path = join(outputDir, `checkpoint-${state.step}`);
    await writeFolderAtomically(path, async (folder) => {
      await fill(folder);
      writeTrainerState(folder, state, optimizer);
    });
    pruneCheckpoints(outputDir, saveTotalLimit);
    return path;
  }

  #restore(checkpoint: string, parts: TrainingParts, optimizer: AdamW): LoopState {
    const lora = this.#lora;
    const weights = join(checkpoint, lora === undefined ? "model.safetensors" : "adapter_model.safetensors");
    if (!existsSync(weights)) {
      throw new CraftError({
        subject: "resume_from_checkpoint",
        value: checkpoint,
        reason: `has no ${weights.split("/").at(-1)!}, so it was made with other settings`,
      });
    }
    readParameters(weights, lora === undefined ? this.model.namedParameters() : lora.namedParameters());
    const extra = extraParameters(parts);
    if (extra.length > 0) readParameters(join(checkpoint, extraFile), extra);
    return readTrainerState(checkpoint, optimizer);
  }
}

function extraParameters(parts: TrainingParts): (readonly [string, Parameter])[] {
  return Object.entries(parts.modules ?? {}).flatMap(([name, module]) =>
    [...module.namedParameters(name)].filter(([, parameter]) => parameter.trainable),
  );
}
