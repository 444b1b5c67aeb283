/** @file Batches of pairs, in an order of their own. */
import type { Dataset } from "../../data/dataset.js";
import { collateRows, LoaderPlace, type Collate, type Loader, type LoaderState } from "../../data/loader.js";
import { BatchSampler } from "../../data/sampler.js";
import { CraftError } from "../../errors.js";

export interface PairLoaderOptions<R, Batch> {
  /** Pairs, or rows that are their own pairs. */
  readonly dataset: Dataset<R>;
  /** Pairs in a batch. */
  readonly batchSize: number;
  /** Pairs that a batch needs; fewer at the end join the batch before. */
  readonly minimumPairs: number;
  readonly collate: Collate<R, Batch>;
  readonly seed: number;
  /** One number for each pair: those of like length then share a batch. */
  readonly lengths?: ArrayLike<number> | undefined;
  /** One number for each pair, the same for pairs with the same positive side: no batch is made of such alone. */
  readonly groups?: ArrayLike<number> | undefined;
}

/** The batches that {@link CRAFTMixedDataLoader} makes of pairs, by themselves: epoch p is pass p over the pairs. */
export class PairLoader<R, Batch> implements Loader<Batch> {
  readonly length: number;
  /** What is to be told of the batches. */
  readonly notices: readonly string[];
  readonly #options: PairLoaderOptions<R, Batch>;
  readonly #sampler: BatchSampler;
  readonly #place: LoaderPlace;

  /** @throws {@link CraftError} for fewer pairs than a batch needs. */
  constructor(options: PairLoaderOptions<R, Batch>) {
    const { dataset, batchSize, minimumPairs, seed, lengths, groups } = options;
    const { length: rows, name } = dataset;
    if (rows < minimumPairs)
      throw new CraftError({
        subject: name,
        reason: `${rows} pair${rows === 1 ? " has" : "s have"} no negatives, so there is nothing to contrast`,
        remedy: "Give two pairs or more",
      });
    this.#options = options;
    this.#sampler = new BatchSampler({
      rows,
      batchSize,
      smallestBatch: minimumPairs,
      stream: "contrastive order",
      seed,
      ...(lengths && { lengths }),
      ...(groups && { groups }),
    });
    this.length = this.#sampler.length;
    this.#place = new LoaderPlace(this.length);
    const left = rows % batchSize;
    this.notices =
      left > 0 && left < minimumPairs
        ? [`the last contrastive batch has ${batchSize + left} pairs: one alone would have no negative`]
        : [];
  }

  state(): LoaderState {
    return this.#place.state();
  }

  restore(state: LoaderState): void {
    this.#place.restore(state);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    const { dataset, collate } = this.#options;
    for (const { epoch, position } of this.#place.restOfEpoch())
      yield await collateRows(dataset, this.#sampler.batch(epoch, position), collate);
  }
}
