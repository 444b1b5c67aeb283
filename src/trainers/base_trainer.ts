/** @file What all trainers share: the model and its adapter, the loop, evaluation, saving and resuming. */
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { refuseUnknown } from "../data/options.js";
import { SingleObjectiveLoader } from "../data/windows.js";
import { AutoModelForCausalLM, CausalLM, savePretrained } from "../models/index.js";
import type { AdamW } from "../optim/index.js";
import { changedOptions, loraConfig, type LoraOptions } from "../peft/lora_config.js";
import { LoraModel } from "../peft/lora.js";
import type { Tokenizer } from "../text/index.js";
import type { DType } from "../torch/dtype.js";
import { loadTorch } from "../torch/torch.js";
import type { TrainingArguments } from "../training/arguments.js";
import { pruneCheckpoints, resolveCheckpoint } from "../training/checkpoint.js";
import {
  clearOutputDir,
  ConsoleProgress,
  FixedMixture,
  Interruption,
  JsonlLog,
  prepareOutputDir,
  reportsOf,
  toMasterWeights,
  TrainingLoop,
  type LogEntry,
  type LoopState,
  type OnPrediction,
  type SaveKind,
  type TrainerCallback,
  type TrainerState,
  type TrainOutput,
} from "../training/index.js";
import { settingsOf, type RunFacts } from "../training/run_settings.js";
import { describeFourBits, refuseFourBits } from "./four_bits.js";
import { modulesFile, type RunParts, type TrainingParts } from "./parts.js";
import type { Rows } from "./rows.js";
import { SavedRun, trainedBeside } from "./saved_run.js";

/** What a base trainer reads of its options. */
export type BaseArguments = TrainingArguments & {
  readonly dtype?: DType | "auto" | undefined;
  readonly neftuneNoiseAlpha?: number | undefined;
};

/** What every trainer is given. */
export interface BaseTrainerOptions {
  /** A model, a model with LoRA, or the folder of a model. */
  readonly model: CausalLM | LoraModel | string;
  /** Attaches new LoRA adapters and trains only those. */
  readonly peftConfig?: LoraOptions | undefined;
  readonly tokenizer?: Tokenizer | undefined;
  readonly trainDataset: Rows;
  readonly evalDataset?: Rows | undefined;
  /** Hear what happens and steer the run, beside the console and log.jsonl. */
  readonly callbacks?: readonly TrainerCallback[];
}

export interface TrainOptions {
  /** Stops the run as Ctrl-C does: after the running micro-batch, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Listen for SIGINT and SIGTERM while the run goes on. Default true. */
  readonly handleSignals?: boolean;
}

/** What a composition such as CRAFT's builds on; see {@link BaseTrainer} for each. */
export interface ComposableTrainer<Batch> {
  readonly model: CausalLM;
  compose(parts: TrainingParts<Batch>): Promise<RunParts>;
  padTokenId(): number;
  notice(text: string): void;
}

/**
 * A training run from its options to its output folder: what all trainers share. A trainer says in `prepare` what it
 * trains on and by which objective; {@link compose} makes windows of that, and is where other objectives come in.
 */
export abstract class BaseTrainer<Batch> implements ComposableTrainer<Batch> {
  protected readonly options: BaseTrainerOptions;
  protected abstract readonly args: BaseArguments;
  #model: CausalLM | undefined;
  #lora: LoraModel | undefined;

  constructor(options: BaseTrainerOptions) {
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
    if (options.peftConfig !== undefined) loraConfig(options.peftConfig);
  }

  /** Reads and prepares the data. Called once, when training or evaluation begins. */
  protected abstract prepare(): Promise<TrainingParts<Batch>>;

  /** Puts together what goes into the loop: here, windows of the trainer's own micro-batches. */
  compose({ objective, shares, batches, modules, ...parts }: TrainingParts<Batch>): Promise<RunParts> {
    const { gradientAccumulationSteps } = this.args;
    return Promise.resolve({
      ...parts,
      objectives: [objective],
      loader: new SingleObjectiveLoader(batches, { gradientAccumulationSteps, objective: objective.name }),
      mixture: new FixedMixture(shares ?? { [objective.name]: 1 }),
      modules: modules === undefined ? {} : { [modulesFile]: modules },
    });
  }

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

  /** Any token of the vocabulary will do for padding, since nothing reads it. */
  padTokenId(): number {
    const { tokenizer } = this.options;
    const wanted = tokenizer?.padTokenId ?? tokenizer?.eosTokenId ?? 0;
    return wanted < this.model.shape.vocabSize ? wanted : 0;
  }

  /** Tells the user of something that acts otherwise than it reads, or of data that is left out. */
  notice(text: string): void {
    if (!this.args.disableTqdm) process.stderr.write(`${text}\n`);
    for (const callback of this.options.callbacks ?? []) callback.onNotice?.(text);
  }

  /** Callbacks of a run, the built-in ones first. */
  protected async callbacks(): Promise<TrainerCallback[]> {
    const own: TrainerCallback[] = [new JsonlLog(this.args.outputDir)];
    if (reportsOf(this.args).has("tensorboard")) {
      const { TensorBoardCallback } = await import("../training/tensorboard.js");
      own.push(new TensorBoardCallback(this.args.outputDir));
    }
    if (!this.args.disableTqdm) own.push(await ConsoleProgress.create());
    return [...own, ...(this.options.callbacks ?? [])];
  }

  /**
   * Runs the training and writes the result into the output folder: the adapter, or the whole model; log.jsonl;
   * checkpoints on the way.
   *
   * @throws CraftError for bad data and options before anything is computed, and for a loss that is not finite.
   * @throws TrainingInterrupted after Ctrl-C or another request to stop, when a checkpoint is written.
   */
  async train(options: TrainOptions = {}): Promise<TrainOutput> {
    const { args } = this;
    refuseUnknown("train", options, ["signal", "handleSignals"]);
    options.signal?.throwIfAborted();
    const resume = args.resumeFromCheckpoint !== false;
    prepareOutputDir(args.outputDir, { overwrite: args.overwriteOutputDir, resume });
    const checkpoint = resolveCheckpoint(args.resumeFromCheckpoint, args.outputDir);
    await this.#load();
    if (this.#lora === undefined) {
      refuseFourBits(this.model);
      toMasterWeights(this.model);
    }
    return this.#withParts((parts) => this.#run(parts, checkpoint, options));
  }

  /** Prepares a run, and lets go of what it holds when `body` is through. */
  async #withParts<Result>(body: (parts: RunParts) => Promise<Result>): Promise<Result> {
    const { model } = this;
    let parts: RunParts | undefined;
    model.neftuneNoiseAlpha = this.args.neftuneNoiseAlpha ?? 0;
    try {
      parts = await this.compose(await this.prepare());
      return await body(parts);
    } finally {
      model.neftuneNoiseAlpha = 0;
      parts?.dispose?.();
    }
  }

  async #run(parts: RunParts, checkpoint: string | undefined, options: TrainOptions): Promise<TrainOutput> {
    const { args } = this;
    const resume = args.resumeFromCheckpoint !== false;
    const evaluates = args.evalStrategy !== "no" || args.evalOnStart;
    if (evaluates && parts.evaluations.length === 0) {
      const subject = args.evalStrategy === "no" ? "eval_on_start" : "eval_strategy";
      throw new CraftError({
        subject,
        value: subject === "eval_strategy" ? args.evalStrategy : true,
        reason: "there is no eval_dataset to evaluate on",
        remedy: "Give one, or leave the option out.",
      });
    }
    options.signal?.throwIfAborted();
    const run = this.#savedRun(parts);
    const interruption: Interruption = new Interruption({
      handleSignals: options.handleSignals ?? true,
      signal: options.signal,
      onSignal: (signal) =>
        loop.callbacks.notice(`${signal}: saving after this micro-batch; once more stops at once`),
    });
    const loop: TrainingLoop = new TrainingLoop({
      ...parts,
      model: this.model,
      named: run.named,
      args,
      callbacks: await this.callbacks(),
      evaluate:
        parts.evaluations.length === 0 ? undefined : (onPrediction) => this.#evaluate(parts, onPrediction),
      checkpointPath: (step) => this.#checkpointPath(step),
      save: (kind, state, trainer, optimizer) =>
        this.#save(kind, run, { loop: state, trainer }, { optimizer, settings: settings() }),
      loadBest: (best) => run.readWeights(best),
      interruption,
    });
    const settings = () => settingsOf(args, this.#facts(parts, loop));
    try {
      await loop.callbacks.emit("onInitEnd", { totalSteps: loop.totalSteps });
      if (checkpoint !== undefined) {
        const own = { settings: settings(), optimizer: loop.optimizer };
        loop.restore(run.read(checkpoint, own, (message) => loop.callbacks.notice(message)));
      }
      // Only now, when the run is about to begin, so that a mistake in data or options costs no earlier result.
      clearOutputDir(args.outputDir, { resume });
      interruption.open();
      return await loop.run();
    } finally {
      interruption.close();
      loop.dispose();
    }
  }

  /** Scores the model on the evaluation data. */
  async evaluate(): Promise<LogEntry> {
    await this.#load();
    return this.#withParts((parts) => {
      if (parts.evaluations.length > 0) return this.#evaluate(parts);
      throw new CraftError({ subject: "eval_dataset", reason: "is not given", remedy: "Give one." });
    });
  }

  /** Loads the model of a folder, or of an id on the hub. */
  protected loadModel(path: string): Promise<CausalLM> {
    return AutoModelForCausalLM.fromPretrained(path, { dtype: this.args.dtype ?? "auto" });
  }

  async #load(): Promise<void> {
    const { model, peftConfig } = this.options;
    await loadTorch();
    if (typeof model === "string" && this.#model === undefined) {
      this.#model = await this.loadModel(model);
      if (this.model.leftOut !== undefined) this.notice(`${model}: ${this.model.leftOut}`);
    }
    if (peftConfig !== undefined && this.#lora === undefined) {
      this.#lora = LoraModel.create(this.model, peftConfig, this.args.seed);
    }
  }

  #savedRun(parts: RunParts): SavedRun {
    return new SavedRun({
      model: this.model,
      lora: this.#lora,
      beside: trainedBeside(parts.modules),
      carried: parts.carried ?? {},
      saveModel: (folder) => this.saveModel(folder),
    });
  }

  async #evaluate(parts: RunParts, onPrediction?: OnPrediction): Promise<LogEntry> {
    const entries: LogEntry[] = [];
    for (const evaluation of parts.evaluations) entries.push(await evaluation(this.model, onPrediction));
    const runtime = entries.reduce((sum, { eval_runtime: seconds }) => sum + (seconds ?? 0), 0);
    return { ...(Object.assign({}, ...entries) as LogEntry), eval_runtime: runtime };
  }

  /** What changes the numbers of a run beside its options. */
  #facts({ loader }: RunParts, { totalSteps, callbacks }: TrainingLoop): RunFacts {
    const lora = this.#lora?.config;
    const adapter = lora === undefined ? {} : changedOptions(lora);
    const more = {
      model_type: this.model.modelType,
      dtype: this.model.dtype,
      use_peft: lora !== undefined,
      quantization: describeFourBits(this.model),
      ...adapter,
      steps_per_epoch: loader.stepsPerEpoch ?? null,
      micro_batches_per_epoch: loader.length ?? null,
    };
    return { totalSteps, callbacks: callbacks.saved(), more };
  }

  /** Writes the adapter or the model, with the tokenizer, so that the folder can be loaded by itself. */
  async saveModel(folder: string): Promise<void> {
    if (this.#lora === undefined) savePretrained(this.model, folder);
    else this.#lora.save(folder);
    await this.options.tokenizer?.save(folder);
  }

  #checkpointPath(step: number): string {
    return join(this.args.outputDir, `checkpoint-${step}`);
  }

  async #save(
    kind: SaveKind,
    run: SavedRun,
    state: { readonly loop: LoopState; readonly trainer: TrainerState },
    resume: { readonly optimizer: AdamW; readonly settings: Readonly<Record<string, unknown>> },
  ): Promise<string> {
    const { outputDir, saveTotalLimit, saveOnlyModel } = this.args;
    const { bestModelCheckpoint: best, globalStep } = state.trainer;
    if (kind === "final") {
      await run.writeResult(outputDir);
      // With a limit of 1 the last checkpoint stayed beside the best one, to resume from, until now.
      if (saveTotalLimit === 1 && best !== null) pruneCheckpoints(outputDir, 1, best);
      return outputDir;
    }
    const path = this.#checkpointPath(globalStep);
    const modelOnly = saveOnlyModel && kind === "checkpoint";
    await run.writeCheckpoint(path, state, modelOnly ? undefined : resume);
    pruneCheckpoints(outputDir, saveTotalLimit, path, best);
    return path;
  }
}
