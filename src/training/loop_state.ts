/** @file What goes into the loop, where a run stands in it, and what comes out. */
import { CraftError } from "../errors.js";
import type { LoaderState } from "../data/loader.js";
import type { WindowLoader } from "../data/windows.js";
import type { AdamW, PlateauState } from "../optim/index.js";
import type { BestState } from "./best_model.js";
import type { CallbackState, LogEntry, PredictionStep, TrainerCallback, TrainerState } from "./callbacks.js";
import type { AllCarried } from "./carried.js";
import type { Interruption } from "./interruption.js";
import type { TaggedBatch } from "./objective.js";
import type { Describe, SinceLogState } from "./since_log.js";
import type { StepOptions } from "./step.js";

/** What is still to be done at the place where a run stands. */
export interface Due {
  /** The evaluation before the first step. */
  readonly start: boolean;
  readonly log: boolean;
  readonly evaluate: boolean;
  readonly save: boolean;
  /** The end of an epoch: its event, and what that makes due. */
  readonly epochEnd: boolean;
}

/** Where a run stands between two steps. Plain JSON. */
export interface LoopState {
  readonly step: number;
  readonly loader: LoaderState;
  readonly due: Due;
  readonly sinceLog: SinceLogState;
  /** Sum over all steps of the mixed loss. */
  readonly loss: number;
  readonly tokens: number;
  readonly learningRate: PlateauState | null;
  readonly best: BestState;
  readonly callbacks: Readonly<Record<string, CallbackState>>;
  readonly logHistory: readonly LogEntry[];
}

/** Why a folder is written. */
export type SaveKind = "checkpoint" | "interrupted" | "final";

/** Told after each batch of an evaluation. */
export type OnPrediction = (step: PredictionStep) => Promise<void>;

export interface LoopOptions extends StepOptions {
  readonly loader: WindowLoader<TaggedBatch>;
  readonly callbacks: readonly TrainerCallback[];
  readonly carried?: AllCarried | undefined;
  readonly describe?: Describe | undefined;
  /** Whether the norms of the tasks' gradients are wanted in log entries. Default true. */
  readonly taskNorms?: boolean | undefined;
  readonly evaluate?: ((onPrediction: OnPrediction) => Promise<LogEntry>) | undefined;
  /** The folder that a checkpoint of a step is written to. */
  readonly checkpointPath: (step: number) => string;
  readonly save: (
    kind: SaveKind,
    state: LoopState,
    trainer: TrainerState,
    optimizer: AdamW,
  ) => Promise<string>;
  /** Gives the model the weights of a checkpoint. */
  readonly loadBest: (checkpoint: string) => void;
  readonly interruption: Interruption;
}

export interface TrainOutput {
  readonly globalStep: number;
  /** Mean over all steps of the mixed loss. */
  readonly trainingLoss: number;
  /** Of this process, without what came before a resume. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/** Steps of the whole run. @throws CraftError for a stream without max_steps. */
export function countSteps(
  args: { readonly maxSteps: number; readonly numTrainEpochs: number },
  stepsPerEpoch: number | undefined,
): number {
  if (args.maxSteps > 0) return args.maxSteps;
  if (stepsPerEpoch === undefined) {
    throw new CraftError({
      subject: "max_steps",
      value: args.maxSteps,
      reason: "a stream has no length to count epochs by",
      remedy: "Set max_steps.",
    });
  }
  return Math.ceil(args.numTrainEpochs * stepsPerEpoch);
}
