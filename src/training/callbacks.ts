/** @file What callbacks hear of a run, and how they steer it. */
import type { CausalLM } from "../models/causal_lm.js";
import type { TrainingArguments } from "./arguments.js";

/** One entry: numbers by name. Undefined ones are left out. */
export type LogEntry = Readonly<Record<string, number | undefined>>;

/** Where a run stands, with the names of transformers' `TrainerState`. */
export interface TrainerState {
  /** Optimiser steps done. */
  readonly globalStep: number;
  /** Epochs done, with the fraction of the current one; undefined for streams. */
  readonly epoch: number | undefined;
  /** Steps of the whole run. */
  readonly maxSteps: number;
  readonly numTrainEpochs: number;
  readonly loggingSteps: number;
  readonly evalSteps: number;
  readonly saveSteps: number;
  readonly trainBatchSize: number;
  /** Tokens that the model has read in training, padding left out. */
  readonly numInputTokensSeen: number;
  /** Entries of the log and of evaluations, oldest first. */
  readonly logHistory: readonly LogEntry[];
  /** Best value so far of the metric that evaluations are compared by. */
  readonly bestMetric: number | null;
  /** Step at which it was found. */
  readonly bestGlobalStep: number | null;
  /** Checkpoint of that step, where one was saved. */
  readonly bestModelCheckpoint: string | null;
}

/** What is to happen next. A callback changes a run by setting these. */
export interface TrainerControl {
  /** End the training after this step. */
  shouldTrainingStop: boolean;
  /** Go on with the next epoch after this step. */
  shouldEpochStop: boolean;
  /** Save a checkpoint after this step. */
  shouldSave: boolean;
  /** Evaluate after this step. */
  shouldEvaluate: boolean;
  /** Log after this step. */
  shouldLog: boolean;
}

/** What every event comes with beside what it is about. */
export interface CallbackContext {
  readonly args: TrainingArguments;
  readonly state: TrainerState;
  readonly control: TrainerControl;
  readonly model: CausalLM;
}

export interface RunPlace {
  readonly totalSteps: number;
  /** Steps that were done before, in a run that goes on from a checkpoint. */
  readonly startStep: number;
}

export interface StepPlace {
  /** The step, counted from 1. */
  readonly step: number;
}

export interface SubstepEnd extends StepPlace {
  /** The micro-batch that is done, counted from 1, and how many the step has. */
  readonly microBatch: number;
  readonly microBatches: number;
  /** Its objective. */
  readonly objective: string;
}

export interface OptimizerStep extends StepPlace {
  /** Norm of the gradient before it is clipped. */
  readonly gradNorm: number;
  readonly learningRate: number;
}

export interface StepEnd extends StepPlace {
  /** Loss of the step, mixed. */
  readonly loss: number;
  /** Since the last log entry. */
  readonly tokensPerSecond: number;
}

export interface PredictionStep {
  /** The batch that is done, counted from 1. */
  readonly batch: number;
  /** Batches of the evaluation; undefined for streams. */
  readonly batches: number | undefined;
}

/** What a callback keeps from event to event, in the form in which transformers saves it. Plain JSON. */
export interface CallbackState {
  /** What it was constructed with. A resumed run must have the same. */
  readonly args: Readonly<Record<string, number | string | boolean>>;
  /** What has changed since. */
  readonly attributes: Readonly<Record<string, number | string | boolean>>;
}

/**
 * Hears what happens in a run and steers it through `context.control`. All methods are optional. One that returns a
 * promise is awaited; one that throws ends the run.
 *
 * In the order of a step: onStepBegin, onSubstepEnd after each micro-batch, onPreOptimizerStep, onOptimizerStep,
 * onStepEnd; then, if they are due, onLog, onEvaluate and onSave; after the last step of an epoch onEpochEnd, and again
 * what that makes due.
 */
export interface TrainerCallback {
  /** Model, data and optimiser are there; a checkpoint is not yet taken up. */
  onInitEnd?(run: { readonly totalSteps: number }, context: CallbackContext): unknown;
  onTrainBegin?(run: RunPlace, context: CallbackContext): unknown;
  /** Also after an error and an interruption. */
  onTrainEnd?(run: StepPlace, context: CallbackContext): unknown;
  /** Also where a run goes on in the middle of an epoch. */
  onEpochBegin?(epoch: { readonly epoch: number }, context: CallbackContext): unknown;
  onEpochEnd?(epoch: { readonly epoch: number }, context: CallbackContext): unknown;
  onStepBegin?(step: StepPlace, context: CallbackContext): unknown;
  /** After each micro-batch but the last of a step. */
  onSubstepEnd?(substep: SubstepEnd, context: CallbackContext): unknown;
  /** The gradient of the step is known. */
  onPreOptimizerStep?(step: OptimizerStep, context: CallbackContext): unknown;
  /** The weights have changed. */
  onOptimizerStep?(step: OptimizerStep, context: CallbackContext): unknown;
  onStepEnd?(step: StepEnd, context: CallbackContext): unknown;
  onLog?(entry: LogEntry, context: CallbackContext): unknown;
  /** Before the metrics are compared with the best ones so far, which are still in the state. */
  onEvaluate?(metrics: LogEntry, context: CallbackContext): unknown;
  /** A checkpoint is written: its folder. */
  onSave?(folder: string, context: CallbackContext): unknown;
  /** After each batch of an evaluation. */
  onPredictionStep?(step: PredictionStep, context: CallbackContext): unknown;
  /** Something acts otherwise than it reads, or data is left out. */
  onNotice?(notice: string): unknown;

  /** The name under which {@link saved} is kept in checkpoints. */
  readonly stateName?: string;
  /** What must be saved for a resumed run to go on as this one would. */
  saved?(): CallbackState;
  /** Takes up what was saved. Called before onTrainBegin. */
  restore?(state: CallbackState): void;
}

type EventName = Exclude<keyof TrainerCallback, "onNotice" | "stateName" | "saved" | "restore">;
type Handler<E extends EventName> = NonNullable<TrainerCallback[E]>;

/** Calls callbacks one after the other. */
export class CallbackList {
  readonly #callbacks: readonly TrainerCallback[];
  readonly #context: CallbackContext;

  constructor(callbacks: readonly TrainerCallback[], context: CallbackContext) {
    this.#callbacks = callbacks;
    this.#context = context;
  }

  async emit<E extends EventName>(event: E, about: Parameters<Handler<E>>[0]): Promise<void> {
    for (const callback of this.#callbacks) {
      // The compiler does not see that the parameter belongs to the event of that name.
      const handler = callback[event] as
        ((this: TrainerCallback, about: unknown, context: CallbackContext) => unknown) | undefined;
      const result = handler?.call(callback, about, this.#context);
      if (result instanceof Promise) await result;
    }
  }

  notice(text: string): void {
    for (const callback of this.#callbacks) callback.onNotice?.(text);
  }

  /** States by name. */
  saved(): Record<string, CallbackState> {
    const states: Record<string, CallbackState> = {};
    for (const [name, callback] of this.#stateful()) states[name] = callback.saved!();
    return states;
  }

  restore(states: Readonly<Record<string, CallbackState>>): void {
    for (const [name, callback] of this.#stateful()) {
      const state = states[name];
      if (state !== undefined) callback.restore?.(state);
    }
  }

  /** A second callback of one name gets a number. */
  *#stateful(): Generator<readonly [string, TrainerCallback]> {
    const seen = new Map<string, number>();
    for (const callback of this.#callbacks) {
      if (callback.stateName === undefined || callback.saved === undefined) continue;
      const count = (seen.get(callback.stateName) ?? 0) + 1;
      seen.set(callback.stateName, count);
      yield [count === 1 ? callback.stateName : `${callback.stateName}_${count}`, callback];
    }
  }
}
