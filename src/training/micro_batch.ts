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
  JointTerms,
  LossTerm,
  Objective,
  ProgramOptions,
  TracedFeeds,
  TrainingProgram,
} from "./objective.js";
import type { TaskTotal } from "./task_totals.js";

/** The two numbers that a micro-batch's random numbers are a function of. */
export type MicroBatchKey = readonly [number, number];

/** A task's share of a micro-batch, read back from the device. */
export interface TermResult extends TaskTotal {
  /**
   * Gradients of the sum, one for each parameter, in the dtype that they were computed in, which may be narrower than
   * the parameter's; the receiver owns them. Empty without gradients.
   */
  readonly gradients: DeviceTensor[];
}

/** Terms read back from the device, and the gradient of all of them together. */
export interface JointResult extends Pick<JointTerms, "gradients" | "apart"> {
  readonly terms: Readonly<Record<string, TaskTotal>>;
}

// A type, not an interface, so that its tensors are seen to come back as device tensors.
type TracedTerm = {
  sum: Tensor;
  weight: Tensor;
  metrics: Record<string, Tensor>;
  observed: Record<string, Tensor>;
  gradients: Tensor[];
};

type TracedJoint = {
  terms: Record<string, TracedTerm>;
  gradients: Tensor[];
  apart: Record<string, Tensor[]>;
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

  /** Whether {@link trainJointly} can be called. */
  get joins(): boolean {
    return this.#train.runJointly !== undefined && this.objective.weights !== undefined;
  }

  async train(batch: Batch, key: MicroBatchKey): Promise<Record<string, TermResult>> {
    const terms = await this.#train.run(batch, new HostTensor(key, [2], "int32"));
    this.#observe(terms, batch);
    return read(terms);
  }

  /** One gradient of all terms; see {@link TrainingProgram.runJointly}. */
  async trainJointly(
    batch: Batch,
    key: MicroBatchKey,
    scales: Readonly<Record<string, number>>,
    apart: readonly string[],
  ): Promise<JointResult> {
    const joint = this.#train.runJointly?.(batch, new HostTensor(key, [2], "int32"), scales, apart);
    if (joint === undefined) throw new Error(`${this.objective.name} has no joint program.`);
    const { terms, ...found } = await joint;
    this.#observe(terms, batch);
    return { terms: read(terms), ...found };
  }

  #observe(terms: Readonly<Record<string, ComputedTerm>>, batch: Batch): void {
    const observed: Record<string, readonly number[]> = {};
    for (const term of Object.values(terms)) {
      for (const [name, tensor] of Object.entries(term.observed)) {
        observed[name] = tensor.toNumbers();
        tensor.dispose();
      }
    }
    this.objective.observe?.(observed, batch);
  }

  async evaluate(batch: Batch): Promise<Record<string, TermResult>> {
    return read(await this.#evaluate(this.objective.feeds(batch)));
  }

  dispose(): void {
    this.#train.dispose();
    this.#evaluate.dispose();
  }
}

/** Numbers as feeds, so that a program does not depend on them. */
export const scalars = (numbers: Readonly<Record<string, number>>): Record<string, HostTensor> =>
  Object.fromEntries(
    Object.entries(numbers).map(([name, value]) => [name, new HostTensor([value], [], "float64")]),
  );

/** Computes `loss` and its gradients in one program. */
export function wholeProgram<Batch>(
  objective: Objective<Batch>,
  { model, parameters, gradientCheckpointing }: ProgramOptions,
): TrainingProgram<Batch> {
  const options = { rematerialize: gradientCheckpointing ? "layers" : "none", cacheSize: 64 } as const;
  const run = compile(
    (feeds: TracedFeeds, key: Tensor) =>
      withRandomKey(key, () => trace(objective.loss(model, feeds), parameters)),
    options,
  );
  const jointly = compile(
    (feeds: TracedFeeds, key: Tensor, scales: TracedFeeds, apart: readonly string[]): TracedJoint =>
      withRandomKey(key, () => traceJointly(objective.loss(model, feeds), parameters, scales, apart)),
    options,
  );
  return {
    run: (batch, key) => run(objective.feeds(batch), key),
    runJointly: (batch, key, scales, apart) => jointly(objective.feeds(batch), key, scalars(scales), apart),
    dispose: () => {
      run.dispose();
      jointly.dispose();
    },
  };
}

/** The gradients are those of the sum over terms of scale * sum. */
function traceJointly(
  losses: Readonly<Record<string, LossTerm>>,
  targets: readonly Parameter[],
  scales: TracedFeeds,
  apart: readonly string[],
): TracedJoint {
  const scaled = Object.entries(losses).map(([task, { sum }]) => sum.mul(scales[task]!.to(sum.dtype)));
  const towards = (sum: Tensor): Tensor[] => gradients(sum, targets).map(beforeWidening);
  const alone = Object.entries(losses).filter(([task]) => apart.includes(task));
  return {
    terms: trace(losses, targets, false),
    gradients: towards(scaled.reduce((a, b) => a.add(b))),
    apart: Object.fromEntries(alone.map(([task, { sum }]) => [task, towards(sum)])),
  };
}

function trace(
  terms: Readonly<Record<string, LossTerm>>,
  targets: readonly Parameter[],
  withGradients = true,
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
        gradients: trains && withGradients ? gradients(sum, targets).map(beforeWidening) : [],
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
