/** @file The one training loop. Trainers are objectives and data on top of it. */
import { CraftError } from "../errors.js";
import type { LoaderState } from "../data/loader.js";
import { learningRate, type AdamW, type LearningRate } from "../optim/index.js";
import { bestRule, intervalSteps } from "./argument_rules.js";
import { BestModel } from "./best_model.js";
import { CallbackList, type LogEntry, type TrainerControl, type TrainerState } from "./callbacks.js";
import { CarriedSnapshot } from "./carried.js";
import { afterEpoch, afterStep } from "./flow.js";
import { Stopped, TrainingInterrupted } from "./interruption.js";
import { countSteps, type Due, type LoopOptions, type LoopState, type TrainOutput } from "./loop_state.js";
import type { TaggedBatch } from "./objective.js";
import { SinceLog } from "./since_log.js";
import { StepRunner, type StepResult } from "./step.js";

/** Runs optimiser steps until the run is over. */
export class TrainingLoop {
  readonly totalSteps: number;
  readonly #options: LoopOptions;
  readonly #steps: StepRunner;
  readonly #callbacks: CallbackList;
  readonly #rate: LearningRate;
  readonly #best: BestModel;
  readonly #since = new SinceLog();
  readonly #control: TrainerControl = {
    shouldTrainingStop: false,
    shouldEpochStop: false,
    shouldSave: false,
    shouldEvaluate: false,
    shouldLog: false,
  };
  #step = 0;
  #loss = 0;
  #tokens = 0;
  /** The place in the data where the next window begins. */
  #place: LoaderState;
  #startDue: boolean;
  #epochEndDue = false;
  #history: LogEntry[] = [];
  /** The state that the last checkpoint was written of. */
  #savedAs = "";
  #lastCheckpoint = "";

  constructor(options: LoopOptions) {
    const { args, loader, model } = options;
    this.#options = options;
    this.totalSteps = countSteps(args, loader.stepsPerEpoch);
    this.#rate = learningRate(args.lrSchedulerType, {
      totalSteps: this.totalSteps,
      warmupSteps: args.warmupSteps,
      learningRate: args.learningRate,
      kwargs: args.lrSchedulerKwargs,
    });
    this.#best = new BestModel(bestRule(args));
    this.#startDue = args.evalOnStart;
    this.#place = loader.state();
    // The state is a view: callbacks that keep the context see where the run stands.
    const stateOf = (): TrainerState => this.trainerState;
    this.#callbacks = new CallbackList(options.callbacks, {
      args,
      control: this.#control,
      model,
      get state() {
        return stateOf();
      },
    });
    this.#steps = new StepRunner(options);
  }

  get optimizer(): AdamW {
    return this.#steps.optimizer;
  }

  get callbacks(): CallbackList {
    return this.#callbacks;
  }

  /** Where the run stands, for callbacks and for trainer_state.json. */
  get trainerState(): TrainerState {
    const { args, loader } = this.#options;
    const { stepsPerEpoch } = loader;
    const { metric, step, checkpoint } = this.#best.state;
    return {
      globalStep: this.#step,
      epoch: stepsPerEpoch === undefined ? undefined : this.#step / stepsPerEpoch,
      maxSteps: this.totalSteps,
      numTrainEpochs:
        args.maxSteps > 0 && stepsPerEpoch !== undefined
          ? Math.ceil(args.maxSteps / stepsPerEpoch)
          : Math.ceil(args.numTrainEpochs),
      loggingSteps: intervalSteps(args.loggingSteps, this.totalSteps),
      evalSteps: intervalSteps(args.evalSteps ?? args.loggingSteps, this.totalSteps),
      saveSteps: intervalSteps(args.saveSteps, this.totalSteps),
      trainBatchSize: args.perDeviceTrainBatchSize,
      numInputTokensSeen: this.#tokens,
      logHistory: this.#history,
      bestMetric: metric,
      bestGlobalStep: step,
      bestModelCheckpoint: checkpoint,
    };
  }

  get #due(): Due {
    const { shouldLog, shouldEvaluate, shouldSave } = this.#control;
    return {
      start: this.#startDue,
      log: shouldLog,
      evaluate: shouldEvaluate,
      save: shouldSave,
      epochEnd: this.#epochEndDue,
    };
  }

  get state(): LoopState {
    return {
      step: this.#step,
      loader: this.#place,
      due: this.#due,
      sinceLog: this.#since.state(),
      loss: this.#loss,
      tokens: this.#tokens,
      learningRate: this.#rate.state(),
      best: this.#best.state,
      callbacks: this.#callbacks.saved(),
      logHistory: this.#history,
    };
  }

  /** Goes on from a saved state; the weights and the optimiser's moments are restored by the caller. */
  restore(state: LoopState): void {
    const { loader } = this.#options;
    loader.restore(state.loader);
    this.#step = state.step;
    this.#place = state.loader;
    this.#since.restore(state.sinceLog);
    this.#loss = state.loss;
    this.#tokens = state.tokens;
    this.#rate.restore(state.learningRate);
    this.#best.restore(state.best);
    this.#callbacks.restore(state.callbacks);
    this.#history = [...state.logHistory];
    this.#startDue = state.due.start;
    this.#control.shouldLog = state.due.log;
    this.#control.shouldEvaluate = state.due.evaluate;
    this.#control.shouldSave = state.due.save;
    // The run that ended in the middle of an epoch may be made longer.
    this.#epochEndDue = state.due.epochEnd && (state.loader.position === 0 || state.step >= this.totalSteps);
  }

  async run(): Promise<TrainOutput> {
    const { interruption, args, save } = this.#options;
    const began = performance.now();
    const startStep = this.#step;
    const startTokens = this.#tokens;
    this.#since.start();
    try {
      await this.#callbacks.emit("onTrainBegin", { totalSteps: this.totalSteps, startStep });
      await this.#settle();
      while (this.#step < this.totalSteps && !this.#control.shouldTrainingStop) await this.#epoch();
      interruption.check();
      const { checkpoint } = this.#best.state;
      if (args.loadBestModelAtEnd && checkpoint !== null) this.#options.loadBest(checkpoint);
      await save("final", this.state, this.trainerState, this.optimizer);
    } catch (error) {
      throw error instanceof Stopped ? await this.#interrupted(error) : error;
    } finally {
      await this.#callbacks.emit("onTrainEnd", { step: this.#step });
    }
    const seconds = (performance.now() - began) / 1000;
    return {
      globalStep: this.#step,
      trainingLoss: this.#step === 0 ? 0 : this.#loss / this.#step,
      seconds,
      tokensPerSecond: (this.#tokens - startTokens) / seconds,
    };
  }

  async #epoch(): Promise<void> {
    const { loader, interruption } = this.#options;
    const begin = loader.state();
    this.#control.shouldEpochStop = false;
    await this.#callbacks.emit("onEpochBegin", { epoch: begin.epoch });
    let windows = 0;
    for await (const window of loader) {
      interruption.check();
      windows++;
      await this.#window(window);
      if (this.#epochEndDue || this.#control.shouldTrainingStop) break;
    }
    if (windows === 0 && begin.position === 0)
      throw new CraftError({ subject: "train_dataset", reason: "gives no batch" });
    // A stream knows that it is over when it is asked for more.
    this.#place = loader.state();
    this.#epochEndDue = true;
    await this.#settle();
  }

  /** One step, and what is due after it. */
  async #window(batches: readonly TaggedBatch[]): Promise<void> {
    const { args, loader } = this.#options;
    const control = this.#control;
    control.shouldLog = control.shouldEvaluate = control.shouldSave = false;
    await this.#callbacks.emit("onStepBegin", { step: this.#step + 1 });
    const result = await this.#optimizerStep(batches);
    this.#step++;
    this.#loss += result.loss;
    this.#tokens += result.tokens;
    this.#since.add(result);
    const { epoch } = this.#place;
    this.#place = loader.state();
    this.#epochEndDue = this.#place.epoch !== epoch || this.#step >= this.totalSteps;
    afterStep(args, this.trainerState, control);
    const tokensPerSecond = this.#since.tokensPerSecond();
    await this.#callbacks.emit("onStepEnd", { step: this.#step, loss: result.loss, tokensPerSecond });
    this.#leaveEpoch();
    await this.#act();
  }

  async #optimizerStep(batches: readonly TaggedBatch[]): Promise<StepResult> {
    const { interruption } = this.#options;
    const rate = this.#rate.at(this.#step);
    const step = this.#step + 1;
    const before = new CarriedSnapshot(this.#options.carried ?? {});
    try {
      const norms = (this.#options.taskNorms ?? true) && !this.#since.hasNorms;
      const result = await this.#steps.run(
        batches,
        { step: this.#step, learningRate: rate, norms },
        {
          microBatch: async (i, of, objective) => {
            // After the last one, the step is all but done.
            if (i + 1 === of) return;
            await this.#callbacks.emit("onSubstepEnd", {
              step,
              microBatch: i + 1,
              microBatches: of,
              objective,
            });
            interruption.check();
          },
          preOptimizer: (gradNorm) =>
            this.#callbacks.emit("onPreOptimizerStep", { step, gradNorm, learningRate: rate }),
        },
      );
      await this.#callbacks.emit("onOptimizerStep", { step, gradNorm: result.norm, learningRate: rate });
      return result;
    } catch (error) {
      if (error instanceof Stopped) before.bringBack();
      throw error;
    } finally {
      before.dispose();
    }
  }

  /** Where a callback wants the next epoch, the rest of this one is left out. */
  #leaveEpoch(): void {
    const { loader } = this.#options;
    if (!this.#control.shouldEpochStop || this.#epochEndDue || this.#place.position === 0) return;
    this.#place = { epoch: this.#place.epoch + 1, position: 0 };
    loader.restore(this.#place);
    this.#epochEndDue = true;
  }

  /** Does what is due before the next step: of the last step, and of the epoch that ended with it. */
  async #settle(): Promise<void> {
    const { args } = this.#options;
    if (this.#startDue) {
      await this.#evaluate();
      this.#startDue = false;
    }
    await this.#act();
    if (!this.#epochEndDue) return;
    const control = this.#control;
    control.shouldEpochStop = false;
    afterEpoch(args, this.trainerState, control);
    const epoch = this.#place.position === 0 ? this.#place.epoch - 1 : this.#place.epoch;
    await this.#callbacks.emit("onEpochEnd", { epoch });
    this.#epochEndDue = false;
    await this.#act();
  }

  /** Logs, evaluates and saves, where that is due. */
  async #act(): Promise<void> {
    const control = this.#control;
    const { args, interruption } = this.#options;
    const began = performance.now();
    if (control.shouldLog) await this.#log();
    interruption.check();
    if (control.shouldEvaluate) {
      const metrics = await this.#evaluate();
      control.shouldEvaluate = false;
      this.#leaveEpoch();
      const isBest = this.#best.judge(metrics, this.#step);
      const metric = this.#best.valueOf(metrics);
      if (metric !== undefined) this.#rate.observe?.(metric);
      if (args.saveStrategy === "best") control.shouldSave = isBest;
    }
    if (control.shouldSave) await this.#save();
    this.#since.pause(performance.now() - began);
    interruption.check();
  }

  async #log(): Promise<void> {
    this.#control.shouldLog = false;
    if (this.#since.steps === 0) return;
    const entry = this.#record(this.#since.take(this.#options.describe));
    await this.#callbacks.emit("onLog", entry);
  }

  async #evaluate(): Promise<LogEntry> {
    const { evaluate, interruption } = this.#options;
    if (evaluate === undefined) {
      throw new CraftError({
        subject: "eval_dataset",
        reason: "is not given, and an evaluation is due",
        remedy: "Give one, or leave out what asks for it.",
      });
    }
    interruption.check();
    const metrics = await evaluate(async (step) => {
      await this.#callbacks.emit("onPredictionStep", step);
      interruption.check();
    });
    const entry = this.#record(metrics);
    await this.#callbacks.emit("onEvaluate", entry);
    return entry;
  }

  #record(entry: LogEntry): LogEntry {
    const { globalStep, epoch } = this.trainerState;
    const whole = { step: globalStep, epoch, ...entry };
    this.#history.push(whole);
    return whole;
  }

  async #save(): Promise<void> {
    const { checkpointPath, save } = this.#options;
    this.#control.shouldSave = false;
    this.#best.saving(checkpointPath(this.#step), this.#step);
    const folder = await save("checkpoint", this.state, this.trainerState, this.optimizer);
    this.#saved(folder);
    await this.#callbacks.emit("onSave", folder);
  }

  #saved(folder: string): void {
    this.#lastCheckpoint = folder;
    this.#savedAs = this.#signature();
  }

  /** Differs whenever another checkpoint would be written. */
  #signature(): string {
    return JSON.stringify([this.#step, this.#due, this.#place, this.#history.length]);
  }

  /** Saves what was reached, unless the last checkpoint says the same and can be resumed. */
  async #interrupted({ signal, cause }: Stopped): Promise<TrainingInterrupted> {
    const { save, args } = this.#options;
    if (this.#savedAs !== this.#signature() || args.saveOnlyModel) {
      const folder = await save("interrupted", this.state, this.trainerState, this.optimizer);
      this.#saved(folder);
      await this.#callbacks.emit("onSave", folder);
    }
    return new TrainingInterrupted(signal, this.#lastCheckpoint, this.#step, cause);
  }

  dispose(): void {
    this.#steps.dispose();
  }
}
