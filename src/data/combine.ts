/** @file Several datasets as one: one after the other, or by turns. */
import { CraftError } from "../errors.js";
import { Random } from "../random.js";
import { Dataset } from "./dataset.js";
import { IterableDataset } from "./iterable.js";
import { refuseUnknown, requireOneOf } from "./options.js";

export const stoppingStrategies = [
  "first_exhausted",
  "all_exhausted",
  "all_exhausted_without_replacement",
] as const;
export type StoppingStrategy = (typeof stoppingStrategies)[number];

export interface InterleaveOptions {
  /** The share of each dataset, together 1: each row is drawn from one of them. By default they take turns. */
  readonly probabilities?: readonly number[];
  /** Of the draws. Default 42. */
  readonly seed?: number;
  /**
   * - "first_exhausted" (default): until one dataset has no more rows;
   * - "all_exhausted": until each has given all its rows, shorter ones several times;
   * - "all_exhausted_without_replacement": each row once.
   */
  readonly stoppingStrategy?: StoppingStrategy;
}

/** The rows of several datasets, or of several streams, one after the other. */
export function concatenateDatasets<R>(datasets: readonly Dataset<R>[]): Dataset<R>;
export function concatenateDatasets<R>(datasets: readonly IterableDataset<R>[]): IterableDataset<R>;
export function concatenateDatasets<R>(
  datasets: readonly Dataset<R>[] | readonly IterableDataset<R>[],
): Dataset<R> | IterableDataset<R> {
  requireSome(datasets);
  if (areDatasets(datasets)) return Dataset.concatenate(...datasets);
  return IterableDataset.fromGenerator(
    async function* (epoch) {
      for (const dataset of datasets) yield* dataset.epoch(epoch);
    },
    { name: nameOf(datasets) },
  );
}

/**
 * The rows of several datasets, or of several streams, by turns or by chance, in the order of `datasets` for Python. Draws
 * are a function of the seed, and of the epoch of a stream.
 *
 * @throws {@link CraftError} for no datasets, an empty one, and probabilities that are not one for each, together 1.
 */
export function interleaveDatasets<R>(
  datasets: readonly Dataset<R>[],
  options?: InterleaveOptions,
): Dataset<R>;
export function interleaveDatasets<R>(
  datasets: readonly IterableDataset<R>[],
  options?: InterleaveOptions,
): IterableDataset<R>;
export function interleaveDatasets<R>(
  datasets: readonly Dataset<R>[] | readonly IterableDataset<R>[],
  options: InterleaveOptions = {},
): Dataset<R> | IterableDataset<R> {
  refuseUnknown("interleaveDatasets", options, ["probabilities", "seed", "stoppingStrategy"]);
  const { stoppingStrategy = "first_exhausted" } = options;
  requireOneOf("stoppingStrategy", stoppingStrategy, stoppingStrategies);
  requireSome(datasets);
  checkProbabilities(datasets.length, options.probabilities);
  if (!areDatasets(datasets)) return interleavedStream(datasets, options, stoppingStrategy);
  const empty = datasets.find(({ length }) => length === 0);
  if (empty !== undefined)
    throw new CraftError({ subject: "datasets", value: empty.name, reason: "has no rows" });
  const lengths = datasets.map(({ length }) => length);
  return Dataset.concatenate(...datasets).select(interleavedPlaces(lengths, options, stoppingStrategy));
}

/** Places in the datasets one after the other, in the order in which rows are taken. */
function* interleavedPlaces(
  lengths: readonly number[],
  options: InterleaveOptions,
  strategy: StoppingStrategy,
): Generator<number> {
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const next = lengths.map(() => 0);
  const done = lengths.map(() => false);
  // Taking turns, all get theirs in the round in which the first one ends.
  const rounds = options.probabilities === undefined && strategy === "first_exhausted";
  for (const source of turns(lengths.length, options, 0)) {
    if (
      strategy === "first_exhausted"
        ? done.includes(true) && (!rounds || source === 0)
        : !done.includes(false)
    )
      return;
    if (done[source] === true && strategy === "all_exhausted_without_replacement") continue;
    if (rounds && next[source]! >= lengths[source]!) return;
    yield starts[source]! + (next[source]! % lengths[source]!);
    next[source]! += 1;
    done[source] = done[source]! || next[source]! >= lengths[source]!;
  }
}

/** Which dataset gives the next row, without end. */
function* turns(
  count: number,
  { probabilities, seed = 42 }: InterleaveOptions,
  epoch: number,
): Generator<number> {
  if (probabilities === undefined) for (let turn = 0; ; turn++) yield turn % count;
  const random = new Random(seed, "interleave", epoch);
  for (;;) {
    const drawn = random.uniform();
    let sum = 0;
    const found = probabilities.findIndex((share) => (sum += share) > drawn);
    yield found === -1 ? probabilities.findLastIndex((share) => share > 0) : found;
  }
}

function interleavedStream<R>(
  datasets: readonly IterableDataset<R>[],
  options: InterleaveOptions,
  strategy: StoppingStrategy,
): IterableDataset<R> {
  return IterableDataset.fromGenerator(
    async function* (epoch) {
      const readers = datasets.map((dataset) => new Lookahead(dataset, epoch));
      try {
        for (const source of turns(datasets.length, options, epoch)) {
          const reader = readers[source]!;
          if (strategy === "all_exhausted_without_replacement" && (await reader.isOver())) {
            if ((await over(readers)).every(Boolean)) return;
            continue;
          }
          yield await reader.take();
          const ended = readers.map(({ ended }) => ended);
          if (strategy === "first_exhausted" ? ended.includes(true) : !ended.includes(false)) return;
        }
      } finally {
        for (const reader of readers) await reader.close();
      }
    },
    { name: nameOf(datasets) },
  );
}

const over = <R>(readers: readonly Lookahead<R>[]): Promise<boolean[]> =>
  Promise.all(readers.map((reader) => reader.isOver()));

/** A stream that knows whether there is another row, and begins anew when there is none. */
class Lookahead<R> {
  /** Whether all rows were taken, at least once. */
  ended = false;
  private readonly dataset: IterableDataset<R>;
  private readonly epoch: number;
  private rows: AsyncGenerator<R>;
  private next: Promise<IteratorResult<R>>;

  constructor(dataset: IterableDataset<R>, epoch: number) {
    this.dataset = dataset;
    this.epoch = epoch;
    this.rows = dataset.epoch(epoch);
    this.next = this.rows.next();
  }

  /** Whether no row is left of this time through. */
  async isOver(): Promise<boolean> {
    return (await this.next).done === true;
  }

  async take(): Promise<R> {
    if (await this.isOver()) {
      this.rows = this.dataset.epoch(this.epoch);
      this.next = this.rows.next();
    }
    const taken = await this.next;
    if (taken.done === true)
      throw new CraftError({ subject: "datasets", value: this.dataset.name, reason: "has no rows" });
    this.next = this.rows.next();
    // An error in the next row comes up when that row is taken.
    this.ended ||= await this.isOver().catch(() => false);
    return taken.value;
  }

  async close(): Promise<void> {
    await this.next.catch(() => undefined);
    await this.rows.return(undefined);
  }
}

function areDatasets<R>(
  datasets: readonly Dataset<R>[] | readonly IterableDataset<R>[],
): datasets is readonly Dataset<R>[] {
  const indexed = datasets.filter((dataset) => dataset instanceof Dataset).length;
  if (indexed === 0 || indexed === datasets.length) return indexed > 0;
  throw new CraftError({
    subject: "datasets",
    value: nameOf(datasets),
    reason: "some are streams and some are not",
    remedy: "Make the streams datasets with toDataset",
  });
}

function requireSome(datasets: readonly unknown[]): void {
  if (datasets.length === 0) throw new CraftError({ subject: "datasets", reason: "there is none" });
}

function checkProbabilities(count: number, probabilities: readonly number[] | undefined): void {
  if (probabilities === undefined) return;
  const sum = probabilities.reduce((a, b) => a + b, 0);
  if (probabilities.length === count && probabilities.every((p) => p >= 0) && Math.abs(sum - 1) < 1e-6)
    return;
  throw new CraftError({
    subject: "probabilities",
    value: probabilities,
    reason: `must be ${count} shares from 0 on, together 1`,
  });
}

const nameOf = (datasets: readonly { readonly name: string }[]): string =>
  datasets.map(({ name }) => name).join(" + ");
