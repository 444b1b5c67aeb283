import type { HostTensor, Tensor } from "../tensor/index.js";
import type { CausalLM } from "../models/causal_lm.js";

/** What a program is fed for a micro-batch: host arrays, padded to buckets, by name. */
export type Feeds = Readonly<Record<string, HostTensor>>;

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
  /** Hears the observed tensors of a training micro-batch, e.g. for a running mean that it feeds the next time. */
  observe?(values: Readonly<Record<string, readonly number[]>>): void;
  /** Tokens that the model reads for the batch, padding left out; for the report of speed. */
  tokens(batch: Batch): number;
}

/** A micro-batch with the name of its objective. */
export interface TaggedBatch {
  readonly objective: string;
  readonly batch: unknown;
}
