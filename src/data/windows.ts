/** @file Micro-batches gathered into windows, one window for each optimiser step. */
import { CraftError } from "../errors.js";
import type { Loader, LoaderState } from "./loader.js";

/** A batch with the name of the objective that it is for. */
export interface MicroBatch<Objective extends string, Batch> {
  readonly objective: Objective;
  readonly batch: Batch;
}

/** Gives windows: the micro-batches of one optimiser step. The last window of an epoch may be short. */
export interface WindowLoader<Item> extends Loader<readonly Item[]> {
  /** Micro-batches in an epoch; undefined for a stream. */
  readonly length: number | undefined;
  /** Windows in an epoch; undefined for a stream. */
  readonly stepsPerEpoch: number | undefined;
}

export interface WindowOptions<Objective extends string> {
  readonly gradientAccumulationSteps: number;
  readonly objective: Objective;
}

/** Windows of `gradientAccumulationSteps` batches of one loader, all for one objective. */
export class SingleObjectiveLoader<Objective extends string, Batch> implements WindowLoader<
  MicroBatch<Objective, Batch>
> {
  readonly length: number | undefined;
  readonly stepsPerEpoch: number | undefined;
  private readonly loader: Loader<Batch>;
  private readonly options: WindowOptions<Objective>;

  constructor(loader: Loader<Batch>, options: WindowOptions<Objective>) {
    const steps = options.gradientAccumulationSteps;
    requireSteps(steps);
    this.loader = loader;
    this.options = options;
    this.length = loader.length;
    this.stepsPerEpoch = loader.length === undefined ? undefined : Math.ceil(loader.length / steps);
  }

  /** The place of the next batch in the loader below. */
  state(): LoaderState {
    return this.loader.state();
  }

  restore(state: LoaderState): void {
    this.loader.restore(state);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly MicroBatch<Objective, Batch>[]> {
    const { gradientAccumulationSteps, objective } = this.options;
    let window: MicroBatch<Objective, Batch>[] = [];
    for await (const batch of this.loader) {
      window.push({ objective, batch });
      if (window.length < gradientAccumulationSteps) continue;
      const full = window;
      window = [];
      yield full;
    }
    if (window.length > 0) yield window;
  }
}

/** @throws {@link CraftError} unless the value is an integer of at least 1. */
export function requireSteps(gradientAccumulationSteps: number): void {
  if (Number.isSafeInteger(gradientAccumulationSteps) && gradientAccumulationSteps >= 1) return;
  throw new CraftError({
    subject: "gradientAccumulationSteps",
    value: gradientAccumulationSteps,
    reason: "must be an integer of at least 1",
  });
}
