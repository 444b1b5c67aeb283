/** @file Micro-batches of completions that are made while a run goes on. */
import type { Dataset } from "../../data/dataset.js";
import { collateRows, LoaderPlace, type Loader, type LoaderState } from "../../data/loader.js";
import { BatchSampler } from "../../data/sampler.js";
import { CraftError } from "../../errors.js";
import { Random } from "../../random.js";
import type { RolloutBuffer } from "./buffer.js";
import { type CompletionRow, type Rollout } from "./buffer.js";
import type { PromptRow } from "./prompts.js";

/** The prompts of a rollout, with how errors name them. */
export interface PromptBatch {
  readonly prompts: readonly PromptRow[];
  readonly where: readonly string[];
}

/** Some rows of a rollout, for one micro-batch. */
export interface RolloutShare {
  readonly rows: readonly CompletionRow[];
  /** Their places in the rollout. */
  readonly places: readonly number[];
  readonly rollout: Rollout;
  /** Whether the policy is still the one that the completions are from. */
  readonly fresh: boolean;
}

export interface RolloutLoaderOptions<Batch> {
  readonly dataset: Dataset<PromptRow>;
  /** Prompts of a rollout. */
  readonly prompts: number;
  /** Micro-batches that a rollout is cut into. */
  readonly microBatches: number;
  /** How often a rollout is gone through. */
  readonly iterations: number;
  /** Whether each time in another order, as well as the first time. */
  readonly reshuffle: boolean;
  /** Prompts in a new order each epoch. */
  readonly shuffle: boolean;
  /** Leave prompts that do not fill a rollout out of the epoch; else the last rollout has fewer. Default true. */
  readonly dropLast?: boolean;
  readonly seed: number;
  readonly buffer: RolloutBuffer;
  /** Optimiser steps that are done. */
  readonly step: () => number;
  /** Makes the completions of prompts, all of a prompt one after the other. */
  readonly make: (batch: PromptBatch, rollout: number) => Promise<readonly CompletionRow[]>;
  readonly collate: (share: RolloutShare) => Batch;
}

/**
 * Makes a rollout whenever the one before is used up: when the loop asks for the first micro-batch of it, so that the
 * policy is as it is just before the step. What a rollout holds is a function of the weights, the seed and its number.
 * Prompts that do not fill a rollout at the end of an epoch are left out of it.
 */
export class RolloutLoader<Batch> implements Loader<Batch> {
  /** Micro-batches in an epoch. */
  readonly length: number;
  readonly #options: RolloutLoaderOptions<Batch>;
  readonly #sampler: BatchSampler;
  readonly #place: LoaderPlace;
  readonly #each: number;

  /** @throws CraftError for fewer prompts than a rollout takes. */
  constructor(options: RolloutLoaderOptions<Batch>) {
    const { dataset, prompts, microBatches, iterations, seed, shuffle, dropLast = true } = options;
    if (dropLast && dataset.length < prompts)
      throw new CraftError({
        subject: dataset.name,
        value: `${dataset.length} prompts`,
        reason: `a rollout takes ${prompts}`,
        remedy: "Give more, or lower per_device_train_batch_size or gradient_accumulation_steps.",
      });
    this.#options = options;
    this.#each = microBatches * iterations;
    this.#sampler = new BatchSampler({
      rows: dataset.length,
      batchSize: prompts,
      seed,
      shuffle,
      dropLast,
    });
    this.length = this.#sampler.length * this.#each;
    this.#place = new LoaderPlace(this.length);
  }

  state(): LoaderState {
    return this.#place.state();
  }

  restore(state: LoaderState): void {
    this.#place.restore(state);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    const { microBatches, collate, step } = this.#options;
    for (const { epoch, position } of this.#place.restOfEpoch()) {
      const index = Math.floor(position / this.#each);
      const rollout = await this.#rollout(epoch, index);
      const size = rollout.rows.length / microBatches;
      const within = position - index * this.#each;
      const iteration = Math.floor(within / microBatches);
      const from = (within - iteration * microBatches) * size;
      const places = [...this.#order(rollout, iteration).slice(from, from + size)];
      const rows = places.map((place) => rollout.rows[place]!);
      yield collate({ rows, places, rollout, fresh: rollout.step === step() });
    }
  }

  async #rollout(epoch: number, index: number): Promise<Rollout> {
    const { buffer, dataset, make, step } = this.#options;
    const number = epoch * this.#sampler.length + index;
    const held = buffer.rollout;
    if (held?.number === number) return held;
    const batch = await collateRows(dataset, this.#sampler.batch(epoch, index), (prompts, where) => ({
      prompts,
      where,
    }));
    const made: Rollout = { number, step: step(), rows: await make(batch, number) };
    buffer.hold(made);
    return made;
  }

  #order({ number, rows }: Rollout, iteration: number): Uint32Array {
    const { seed, reshuffle } = this.#options;
    return new Random(seed, "rollout_order", number, reshuffle ? iteration : 0).permutation(rows.length);
  }
}
