import type { CausalLM } from "../models/causal_lm.js";
import type { Feed, HostTensor, Parameter, Tensor } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";

/**
 * What a program is fed for a micro-batch, by name: host arrays, padded to buckets. Device tensors are lent to the run;
 * they are for what is large and stays.
 */
export type Feeds = Readonly<Record<string, Feed>>;

/** The same inside a traced function. */
export type TracedFeeds = Readonly<Record<string, Tensor>>;

/** What one task contributes for a micro-batch: float32 scalars. */
export interface LossTerm {
  /** Sum of the losses. */
  readonly sum: Tensor;
  /** What the sum is to be divided by: tokens, pairs, sequences. */
  readonly weight: Tensor;
  /** Further sums, divided by the same weight when they are reported. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
  /** Tensors that the objective wants to see after each training micro-batch; see {@link Objective.observe}. */
  readonly observed?: Readonly<Record<string, Tensor>>;
}

/**
 * Turns a micro-batch into losses, as sums with weights. The loop divides each task's summed gradient by its summed
 * weight over the window, so that micro-batches of any size, and any number of them, count by what they hold.
 */
export interface Objective<Batch> {
  /** Names the kind of micro-batch, e.g. "sft". */
  readonly name: string;
  feeds(batch: Batch): Feeds;
  /** Traced. One term for each task that the micro-batch serves, e.g. {sft} or {sft, contrastive}. */
  loss(model: CausalLM, feeds: TracedFeeds): Readonly<Record<string, LossTerm>>;
  /**
   * Takes the place of the one program that computes `loss` and its gradients, for an objective that runs several in
   * training. Undefined if that one will do.
   */
  program?(options: ProgramOptions): TrainingProgram<Batch> | undefined;
  /**
   * What the weights of the terms of a training batch will be, counted on the host. With it, a batch that serves several
   * tasks takes one backward pass instead of one for each; see {@link JointWindow}.
   */
  weights?(batch: Batch): Readonly<Record<string, number>>;
  /** Hears the observed tensors of a training micro-batch, e.g. for a running mean that it feeds the next time. */
  observe?(values: Readonly<Record<string, readonly number[]>>, batch: Batch): void;
  /** Tokens that the model reads for the batch, padding left out; for the report of speed. */
  tokens(batch: Batch): number;
}

/** What a training program is made for. */
export interface ProgramOptions {
  readonly model: CausalLM;
  /** What gradients are built towards. */
  readonly parameters: readonly Parameter[];
  /** Compute the blocks of the model again in the backward pass instead of keeping their values. */
  readonly gradientCheckpointing: boolean;
}

/** A {@link LossTerm} as it was computed; the receiver owns the tensors. */
export interface ComputedTerm {
  readonly sum: DeviceTensor;
  readonly weight: DeviceTensor;
  readonly metrics: Readonly<Record<string, DeviceTensor>>;
  readonly observed: Readonly<Record<string, DeviceTensor>>;
  /** Gradients of the sum, one for each parameter, in the dtype that they were computed in. */
  readonly gradients: DeviceTensor[];
}

/** Terms with the gradient of all of them together. The receiver owns the tensors. */
export interface JointTerms {
  /** Without gradients of their own. */
  readonly terms: Readonly<Record<string, ComputedTerm>>;
  /** Gradients of the sum over terms of scale * sum, one for each parameter. */
  readonly gradients: DeviceTensor[];
  /** Gradients of the sums of those terms that were asked for, each by itself. */
  readonly apart: Readonly<Record<string, DeviceTensor[]>>;
}

/** Computes the terms of a training micro-batch with their gradients. */
export interface TrainingProgram<Batch> {
  /** @param key int32 [2]: the micro-batch's random numbers are a function of it */
  run(batch: Batch, key: HostTensor): Promise<Readonly<Record<string, ComputedTerm>>>;
  /** The same with one backward pass for all terms, each times its scale, and one more for each of those in `apart`. */
  runJointly?(
    batch: Batch,
    key: HostTensor,
    scales: Readonly<Record<string, number>>,
    apart: readonly string[],
  ): Promise<JointTerms>;
  dispose(): void;
}

/** A micro-batch with the name of its objective. */
export interface TaggedBatch {
  readonly objective: string;
  readonly batch: unknown;
}
