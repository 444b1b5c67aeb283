/** @file What all trainers share: the model and its adapter, the loop, evaluation, saving and resuming. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { CraftError } from "../errors.js";
import { refuseUnknown } from "../data/options.js";
import type { WindowLoader } from "../data/windows.js";
import { AutoModelForCausalLM, CausalLM, savePretrained } from "../models/index.js";
import type { Module } from "../nn/module.js";
import type { AdamW } from "../optim/index.js";
import { newAdapterConfig, readAdapterConfig, writeAdapter } from "../peft/adapter_files.js";
import { defaultLoraConfig, LoraModel, type LoraConfig } from "../peft/lora.js";
import type { Parameter } from "../tensor/index.js";
import type { Tokenizer } from "../text/index.js";
import type { DType } from "../torch/dtype.js";
import { loadTorch } from "../torch/torch.js";
import type { TrainingArguments } from "../training/arguments.js";
import {
  pruneCheckpoints,
  readMoments,
  readParameters,
  readTrainerState,
  requireSameOrder,
  resolveCheckpoint,
  writeFolderAtomically,
  writeParameters,
  writeTrainerState,
  type TrainerState,
} from "../training/checkpoint.js";
import {
  clearOutputDir,
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
  /** Numbers beside the parameters that a resumed run must go on with. */
  readonly carried?: {
    state(): Readonly<Record<string, readonly number[]>>;
    restore(state: Readonly<Record<string, readonly number[]>>): void;
  };
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
const adapterFile = "adapter_model.safetensors";

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
    refuseUnknown("peftConfig", options.peftConfig ?? {}, Object.keys(defaultLoraConfig));
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
  protected async listeners(): Promise<TrainingListener[]> {
    const own: TrainingListener[] = [new JsonlLog(this.args.outputDir)];
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
    const resume = args.resumeFromCheckpoint !== false;
    prepareOutputDir(args.outputDir, { overwrite: args.overwriteOutputDir, resume });
    const checkpoint = resolveCheckpoint(args.resumeFromCheckpoint, args.outputDir);
    await this.#load();
    if (this.#lora === undefined) toMasterWeights(this.model);
    const parts = await this.prepare(this.model);
    if (args.evalStrategy !== "no" && parts.evaluations.length === 0) {
      throw new CraftError({
        subject: "eval_strategy",
        value: args.evalStrategy,
        reason: "there is no eval_dataset to evaluate on",
        remedy: "Give one, or leave the option out.",
      });
    }
    const loop = new TrainingLoop({
      model: this.model,
      named: this.#named(parts),
      objectives: parts.objectives,
      loader: parts.loader,
      mixture: parts.mixture,
      args,
      listeners: await this.listeners(),
      evaluate: parts.evaluations.length === 0 ? undefined : () => this.#evaluate(parts),
      save: (kind, state, optimizer) => this.#save(kind, parts, state, optimizer),
      ...(parts.describe === undefined ? {} : { describe: parts.describe }),
      ...(parts.afterStep === undefined ? {} : { afterStep: parts.afterStep }),
    });
    try {
      if (checkpoint !== undefined) loop.restore(this.#restore(checkpoint, parts, loop.optimizer));
      // Only now, when the run is about to begin, so that a mistake in data or options costs no earlier result.
      clearOutputDir(args.outputDir, { resume });
      return await loop.run();
    } finally {
      loop.dispose();
    }
  }

  /** Scores the model on the evaluation data. */
  async evaluate(): Promise<LogEntry> {
    await this.#load();
    const parts = await this.prepare(this.model);
    if (parts.evaluations.length === 0)
      throw new CraftError({ subject: "eval_dataset", reason: "is not given", remedy: "Give one." });
    return this.#evaluate(parts);
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
  }

  #named(parts: TrainingParts): (readonly [string, Parameter])[] {
    const own =
      this.#lora === undefined ? [...this.model.namedParameters()] : [...this.#lora.namedParameters()];
    return [...own.filter(([, parameter]) => parameter.trainable), ...extraParameters(parts)];
  }

  async #evaluate(parts: TrainingParts): Promise<LogEntry> {
    const entries: LogEntry[] = [];
    for (const evaluation of parts.evaluations) entries.push(await evaluation(this.model));
    const runtime = entries.reduce((sum, { eval_runtime: seconds }) => sum + (seconds ?? 0), 0);
    return { ...(Object.assign({}, ...entries) as LogEntry), eval_runtime: runtime };
  }

  /** What decides in which order a run sees its data. */
  #dataOrder({ loader }: TrainingParts): TrainerState["dataOrder"] {
    return {
      seed: this.args.seed,
      steps_per_epoch: loader.stepsPerEpoch ?? null,
      micro_batches_per_epoch: loader.length ?? null,
    };
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
      const saved = {
        loop: state,
        dataOrder: this.#dataOrder(parts),
        carried: parts.carried?.state() ?? {},
      };
      writeTrainerState(folder, saved, optimizer, this.#named(parts));
    });
    pruneCheckpoints(outputDir, saveTotalLimit, path);
    return path;
  }

  #restore(checkpoint: string, parts: TrainingParts, optimizer: AdamW): LoopState {
    const state = readTrainerState(checkpoint);
    const extra = extraParameters(parts);
    const extraPath = join(checkpoint, extraFile);
    if (existsSync(extraPath) !== extra.length > 0) {
      throw otherSettings(checkpoint, `it has ${extra.length > 0 ? "no" : "a"} ${extraFile}`);
    }
    const lora = this.#lora;
    const isAdapter = existsSync(join(checkpoint, adapterFile));
    if (isAdapter !== (lora !== undefined))
      throw otherSettings(checkpoint, isAdapter ? "it is of an adapter" : "it is of a whole model");
    requireSameOrder(checkpoint, state.dataOrder, this.#dataOrder(parts));
    if (lora === undefined) readParameters(checkpoint, [...this.model.namedParameters()], "all");
    else {
      const { r, loraAlpha } = readAdapterConfig(checkpoint);
      const { r: ownR, loraAlpha: ownAlpha } = lora.config;
      if (r !== ownR) throw otherSettings(checkpoint, `its lora_r is ${r}, that of this run ${ownR}`);
      if (loraAlpha !== ownAlpha)
        throw otherSettings(checkpoint, `its lora_alpha is ${loraAlpha}, that of this run ${ownAlpha}`);
      readParameters(join(checkpoint, adapterFile), [...lora.namedParameters()], "all");
    }
    if (extra.length > 0) readParameters(extraPath, extra, "all");
    readMoments(checkpoint, optimizer, state.optimizerSteps, this.#named(parts));
    parts.carried?.restore(state.carried);
    return state.loop;
  }
}

const otherSettings = (checkpoint: string, difference: string): CraftError =>
  new CraftError({
    subject: "resume_from_checkpoint",
    value: checkpoint,
    reason: `was made with other settings: ${difference}`,
    remedy: `Resume with the settings of the run that wrote ${basename(checkpoint)}, or start anew`,
  });

function extraParameters(parts: TrainingParts): (readonly [string, Parameter])[] {
  return Object.entries(parts.modules ?? {}).flatMap(([name, module]) =>
    [...module.namedParameters(name)].filter(([, parameter]) => parameter.trainable),
  );
}
