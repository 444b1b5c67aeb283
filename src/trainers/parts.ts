/** @file What a trainer brings to a run, and what goes into the loop. */
import type { Loader } from "../data/loader.js";
import type { Prepared } from "../data/prepared.js";
import type { PreparedRow } from "../data/tokenised_rows.js";
import type { WindowLoader } from "../data/windows.js";
import type { CausalLM } from "../models/index.js";
import type { Module } from "../nn/module.js";
import type {
  AllCarried,
  Describe,
  LogEntry,
  Mixture,
  Objective,
  OnPrediction,
  TaggedBatch,
} from "../training/index.js";

/** Scores a model on data of its own, and tells of each batch; see evaluateObjective. */
export type Evaluation = (model: CausalLM, onPrediction?: OnPrediction) => Promise<LogEntry>;

/** What both have in common. */
interface Parts {
  readonly evaluations: readonly Evaluation[];
  readonly describe?: Describe | undefined;
  /** Whether the norms of the tasks' gradients are wanted in log entries. Default true. */
  readonly taskNorms?: boolean | undefined;
  /** Called after each optimiser step, e.g. to keep a parameter in range. */
  readonly afterStep?: (() => void | Promise<void>) | undefined;
  /** State beside the parameters, by the name under which it is saved, that a resumed run must go on with. */
  readonly carried?: AllCarried | undefined;
  /** Frees what was made for the run, when it is over or has failed. */
  readonly dispose?: (() => void) | undefined;
}

/** What a trainer has of its own: one objective, its micro-batches, and what belongs to them. */
export interface TrainingParts<Batch> extends Parts {
  /** Its task has its name: "sft", "dpo" … */
  readonly objective: Objective<Batch>;
  /** What its tasks count in the loss, where it has several; the one of its name, and 1, by default. */
  readonly shares?: Readonly<Record<string, number>> | undefined;
  /** Micro-batches of the objective. */
  readonly batches: Loader<Batch>;
  /** Modules that are trained beside the model, by the name under which they are saved. */
  readonly modules?: Readonly<Record<string, Module>> | undefined;
  /**
   * The training data as tokens, prompt and answer in one row, with labels on the answer: what CRAFT's self-align makes
   * pairs of. Absent where the data has no answers.
   */
  readonly labelledRows?: (() => Promise<Prepared<PreparedRow>>) | undefined;
}

/** What goes into the loop. */
export interface RunParts extends Parts {
  readonly objectives: readonly Objective<never>[];
  readonly loader: WindowLoader<TaggedBatch>;
  readonly mixture: Mixture;
  /** Modules that are trained beside the model, by the file that they are saved in and their name there. */
  readonly modules: Readonly<Record<string, Readonly<Record<string, Module>>>>;
}

/** Where a trainer's own modules are saved. */
export const modulesFile = "modules.safetensors";
