/** @file Runs one objective on one micro-batch, with or without gradients. */
import type { CausalLM } from "../models/causal_lm.js";
import {
  beforeWidening,
  compile,
  gradients,
  HostTensor,
  withRandomKey,
  type Compiled,
  type Materialized,
  type Parameter,
  type Tensor,
} from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import type { Objective, TracedFeeds } from "./objective.js";

/** A task's share of a micro-batch, read back from the device. */
export interface TermResult {
  readonly sum: number;
  readonly weight: number;
  readonly metrics: Readonly<Record<string, number>>;
  /**
   * Gradients of the sum, one for each parameter, in the dtype that they were computed in, which may be narrower than
   * the parameter's; the receiver owns them. Empty without gradients.
   */
  readonly gradients: DeviceTensor[];
}

// A type, not an interface, so that its tensors are seen to come back as device tensors.
type TracedTerm = {
  sum: Tensor;
  weight: Tensor;
  metrics: Record<string, Tensor>;
  observed: Record<string, Tensor>;
  gradients: Tensor[];
};

export interface MicroBatchOptions {
  readonly model: CausalLM;
  /** What gradients are built towards. */
  readonly parameters: readonly Parameter[];
  /** Compute the blocks of the model again in the backward pass instead of keeping their values. */
  readonly gradientCheckpointing: boolean;
}

/** An objective as compiled programs: one that trains and one that evaluates. */
export class MicroBatchRunner<Batch> {
  readonly objective: Objective<Batch>;
  readonly #train: Compiled<[TracedFeeds, Tensor], Record<string, TracedTerm>>;
  readonly #evaluate: Compiled<[TracedFeeds], Record<string, TracedTerm>>;

  constructor(objective: Objective<Batch>, { model, parameters, gradientCheckpointing }: MicroBatchOptions) {
    this.objective = objective;
    const trace = (feeds: TracedFeeds, targets: readonly Parameter[]): Record<string, TracedTerm> =>
      Object.fromEntries(
        Object.entries(objective.loss(model, feeds)).map(
          ([task, { sum, weight, metrics = {}, observed = {} }]) => [
            task,
            {
              sum,
              weight,
              metrics: { ...metrics },
              observed: targets.length === 0 ? {} : { ...observed },
              gradients: targets.length === 0 ? [] : gradients(sum, targets).map(beforeWidening),
            },
          ],
        ),
      );
    this.#train = compile(
      (feeds: TracedFeeds, key: Tensor) => withRandomKey(key, () => trace(feeds, parameters)),
      {
        rematerialize: gradientCheckpointing ? "layers" : "none",
        cacheSize: 64,
      },
    );
    this.#evaluate = compile((feeds: TracedFeeds) => trace(feeds, []), { cacheSize: 64 });
  }

  /** @param key the two numbers that the micro-batch's random numbers are a function of */
  async train(batch: Batch, key: readonly [number, number]): Promise<Record<string, TermResult>> {
    const terms = await this.#train(this.objective.feeds(batch), new HostTensor(key, [2], "int32"));
    const observed: Record<string, readonly number[]> = {};
    for (const term of Object.values(terms)) {
      for (const [name, tensor] of Object.entries(term.observed)) {
        observed[name] = tensor.toNumbers();
        tensor.dispose();
      }
    }
    this.objective.observe?.(observed);
    return read(terms);
  }

  async evaluate(batch: Batch): Promise<Record<string, TermResult>> {
    return read(await this.#evaluate(this.objective.feeds(batch)));
  }

  dispose(): void {
    this.#train.dispose();
    this.#evaluate.dispose();
  }
}

function read(terms: Readonly<Record<string, Materialized<TracedTerm>>>): Record<string, TermResult> {
  const number = (tensor: DeviceTensor): number => {
    const value = tensor.item();
    tensor.dispose();
    return value;
  };
  return Object.fromEntries(
    Object.entries(terms).map(([task, term]) => [
      task,
      {
        sum: number(term.sum),
        weight: number(term.weight),
        metrics: Object.fromEntries(
          Object.entries(term.metrics).map(([name, value]) => [name, number(value)]),
        ),
        gradients: term.gradients,
      },
    ]),
  );
}
