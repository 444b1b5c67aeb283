/** @file Runs one objective on one micro-batch, with or without gradients. */
import {
  beforeWidening,
  compile,
  gradients,
  HostTensor,
  withRandomKey,
  type Compiled,
  type Parameter,
  type Tensor,
} from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import type {
  ComputedTerm,
  LossTerm,
  Objective,
  ProgramOptions,
  TracedFeeds,
  TrainingProgram,
} from "./objective.js";

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

/** An objective as compiled programs: one that trains and one that evaluates. */
export class MicroBatchRunner<Batch> {
  readonly objective: Objective<Batch>;
  readonly #train: TrainingProgram<Batch>;
  readonly #evaluate: Compiled<[TracedFeeds], Record<string, TracedTerm>>;

  constructor(objective: Objective<Batch>, options: ProgramOptions) {
    this.objective = objective;
    this.#train = objective.program?.(options) ?? wholeProgram(objective, options);
    this.#evaluate = compile((feeds: TracedFeeds) => trace(objective.loss(options.model, feeds), []), {
      cacheSize: 64,
    });
  }

  /** @param key the two numbers that the micro-batch's random numbers are a function of */
  async train(batch: Batch, key: readonly [number, number]): Promise<Record<string, TermResult>> {
    const terms = await this.#train.run(batch, new HostTensor(key, [2], "int32"));
    const observed: Record<string, readonly number[]> = {};
    for (const term of Object.values(terms)) {
      for (const [name, tensor] of Object.entries(term.observed)) {
        observed[name] = tensor.toNumbers();
        tensor.dispose();
      }
    }
    this.objective.observe?.(observed, batch);
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

/** Computes `loss` and its gradients in one program. */
export function wholeProgram<Batch>(
  objective: Objective<Batch>,
  { model, parameters, gradientCheckpointing }: ProgramOptions,
): TrainingProgram<Batch> {
  const run = compile(
    (feeds: TracedFeeds, key: Tensor) =>
      withRandomKey(key, () => trace(objective.loss(model, feeds), parameters)),
    { rematerialize: gradientCheckpointing ? "layers" : "none", cacheSize: 64 },
  );
  return { run: (batch, key) => run(objective.feeds(batch), key), dispose: () => run.dispose() };
}

function trace(
  terms: Readonly<Record<string, LossTerm>>,
  targets: readonly Parameter[],
): Record<string, TracedTerm> {
  const trains = targets.length > 0;
  return Object.fromEntries(
    Object.entries(terms).map(([task, { sum, weight, metrics = {}, observed = {} }]) => [
      task,
      {
        sum,
        weight,
        metrics: { ...metrics },
        observed: trains ? { ...observed } : {},
        gradients: trains ? gradients(sum, targets).map(beforeWidening) : [],
      },
    ]),
  );
}

function read(terms: Readonly<Record<string, ComputedTerm>>): Record<string, TermResult> {
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
