/** @file From datasets to batches: an epoch at a time, with a place that can be saved and taken up again. */
import { CraftError } from "../errors.js";
import type { Dataset } from "./dataset.js";
import type { IterableDataset } from "./iterable.js";
import { refuseUnknown } from "./options.js";
import { BatchSampler } from "./sampler.js";
import { tokenColumn } from "./tokens.js";

/** Turns the rows of a batch into what a model is fed. `where` names each row for error messages. */
export type Collate<R, Batch> = (rows: readonly R[], where: readonly string[]) => Batch | Promise<Batch>;

/** The next thing that a loader gives: item `position` of epoch `epoch`. Plain JSON. */
export interface LoaderState {
  readonly epoch: number;
  readonly position: number;
}

/**
 * Gives batches (or windows of batches), epoch by epoch. Iterating gives what is left of the current epoch, then moves
 * to the next epoch. The state names the item that comes next, so saved after item i it resumes at item i + 1.
 */
export interface Loader<Item> extends AsyncIterable<Item> {
  /** Items in an epoch; undefined for a stream. */
  readonly length: number | undefined;
  state(): LoaderState;
  /** @throws {@link CraftError} if the state is no place in this loader. */
  restore(state: LoaderState): void;
}

export interface DataLoaderOptions<R, Batch> {
  readonly dataset: Dataset<R>;
  readonly batchSize: number;
  readonly collate: Collate<R, Batch>;
  /** Default 42. */
  readonly seed?: number;
  /** A new order each epoch, a function of seed and epoch. Default true. */
  readonly shuffle?: boolean;
  /** Leave out a last batch that is not full. Default false: it is kept. */
  readonly dropLast?: boolean;
  /** One number for each row: rows of like length then share a batch, and less is padded. See {@link rowLengths}. */
  readonly lengths?: ArrayLike<number>;
}

/**
 * Batches of a dataset in an order that depends on seed and epoch alone.
 *
 * @example
 * for (let epoch = 0; epoch < 3; epoch++) for await (const batch of loader) await step(batch);
 */
export class DataLoader<R, Batch> implements Loader<Batch> {
  readonly length: number;
  private readonly dataset: Dataset<R>;
  private readonly collate: Collate<R, Batch>;
  private readonly sampler: BatchSampler;
  private readonly place: LoaderPlace;

  constructor(options: DataLoaderOptions<R, Batch>) {
    refuseUnknown("DataLoader", options, [
      "dataset",
      "batchSize",
      "collate",
      "seed",
      "shuffle",
      "dropLast",
      "lengths",
    ]);
    const { dataset, batchSize, collate, seed = 42, shuffle = true, dropLast = false, lengths } = options;
    requireRows(dataset);
    this.dataset = dataset;
    this.collate = collate;
    this.sampler = new BatchSampler({
      rows: dataset.length,
      batchSize,
      seed,
      shuffle,
      dropLast,
      ...(lengths && { lengths }),
    });
    this.length = this.sampler.length;
    this.place = new LoaderPlace(this.length);
  }

  state(): LoaderState {
    return this.place.state();
  }

  restore(state: LoaderState): void {
    this.place.restore(state);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    for (const { epoch, position } of this.place.restOfEpoch()) {
      yield await collateRows(this.dataset, this.sampler.batch(epoch, position), this.collate);
    }
  }
}

/** The current item of a loader whose epochs have a known length. */
export class LoaderPlace {
  private readonly length: number;
  private epoch = 0;
  private position = 0;

  constructor(length: number) {
    this.length = length;
  }

  state(): LoaderState {
    return { epoch: this.epoch, position: this.position };
  }

  restore({ epoch, position }: LoaderState): void {
    const valid = Number.isInteger(position) && position >= 0 && position < this.length;
    if (!valid || !Number.isSafeInteger(epoch) || epoch < 0) {
      throw new CraftError({
        subject: "loader state",
        value: { epoch, position },
        reason: `is no place in epochs of ${this.length}`,
        remedy: "Resume with the dataset, batch size and accumulation that the state was saved with",
      });
    }
    this.epoch = epoch;
    this.position = position;
  }

  /** The places from here to the end of the epoch. The state moves on before each is given. */
  *restOfEpoch(): Generator<LoaderState> {
    const { epoch } = this;
    while (this.epoch === epoch) {
      const current = this.state();
      this.position += 1;
      if (this.position === this.length) {
        this.epoch += 1;
        this.position = 0;
      }
      yield current;
    }
  }
}

export interface StreamingDataLoaderOptions<R, Batch> {
  readonly dataset: IterableDataset<R>;
  readonly batchSize: number;
  readonly collate: Collate<R, Batch>;
  /** Leave out a last batch that is not full. Default false: it is kept. */
  readonly dropLast?: boolean;
}

/**
 * Batches of a stream. The number of batches is not known; shuffling is the stream's own
 * ({@link IterableDataset.shuffle}); resuming reads the rows before the place again and passes over them.
 */
export class StreamingDataLoader<R, Batch> implements Loader<Batch> {
  readonly length = undefined;
  private readonly options: StreamingDataLoaderOptions<R, Batch>;
  private current: LoaderState = { epoch: 0, position: 0 };

  constructor(options: StreamingDataLoaderOptions<R, Batch>) {
    if (!Number.isSafeInteger(options.batchSize) || options.batchSize < 1) {
      throw new CraftError({
        subject: "batchSize",
        value: options.batchSize,
        reason: "must be an integer of at least 1",
      });
    }
    this.options = options;
  }

  state(): LoaderState {
    return this.current;
  }

  restore(state: LoaderState): void {
    if (![state.epoch, state.position].every((value) => Number.isSafeInteger(value) && value >= 0)) {
      throw new CraftError({
        subject: "loader state",
        value: state,
        reason: "epoch and position must be integers, 0 or more",
      });
    }
    this.current = { epoch: state.epoch, position: state.position };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    const { dataset, batchSize, collate, dropLast = false } = this.options;
    const { epoch, position } = this.current;
    let rows: R[] = [];
    let names: string[] = [];
    let batches = 0;
    for await (const { row, where } of dataset.entries(epoch)) {
      rows.push(row);
      names.push(where);
      if (rows.length < batchSize) continue;
      const [fullRows, fullNames] = [rows, names];
      [rows, names] = [[], []];
      if (batches++ < position) continue;
      this.current = { epoch, position: batches };
      yield await collate(fullRows, fullNames);
    }
    if (batches === 0 && rows.length === 0) {
      throw new CraftError({ subject: dataset.name, reason: `the stream gave no row in epoch ${epoch}` });
    }
    this.current = { epoch: epoch + 1, position: 0 };
    if (rows.length > 0 && !dropLast && batches >= position) yield await collate(rows, names);
  }
}

/** Reads the given rows and collates them. */
export async function collateRows<R, Batch>(
  dataset: Dataset<R>,
  indices: Uint32Array,
  collate: Collate<R, Batch>,
): Promise<Batch> {
  const rows = await dataset.rows(indices);
  return collate(
    rows,
    Array.from(indices, (index) => dataset.where(index)),
  );
}

/** The number of tokens in each row's `column`, for {@link DataLoaderOptions.lengths}. Reads all rows. */
export async function rowLengths(dataset: Dataset<object>, column = "input_ids"): Promise<Int32Array> {
  const lengths = new Int32Array(dataset.length);
  for (let i = 0; i < lengths.length; i++) {
    lengths[i] = tokenColumn(await dataset.row(i), column, dataset.where(i)).length;
  }
  return lengths;
}

/** @throws {@link CraftError} if the dataset is empty. */
export function requireRows(dataset: { readonly name: string; readonly length: number }): void {
  if (dataset.length === 0) throw new CraftError({ subject: dataset.name, reason: "the dataset has no row" });
}
