/** @file Datasets that can only be read from front to back: generators and streams. */
import { CraftError } from "../errors.js";
import { Random } from "../random.js";
import { onlyColumns, renamedRow, withoutColumns, type ColumnNames } from "./columns.js";
import { requireFileKind } from "./file_kinds.js";
import { streamRows } from "./open_file.js";
import { ArraySource, atRow, type Row } from "./source.js";
import { Dataset } from "./dataset.js";

/** A row on its way through a stream, with its place in the stream that it came from. */
interface Placed<R> {
  readonly row: R;
  readonly index: number;
}

type Open<R> = (epoch: number) => AsyncIterable<Placed<R>>;

/**
 * Rows that come one after the other and whose number is not known. Each epoch opens the stream anew, so a run over
 * it needs a number of steps, and resuming inside an epoch reads past what was already seen.
 */
export class IterableDataset<R> {
  readonly name: string;
  private readonly open: Open<R>;

  private constructor(name: string, open: Open<R>) {
    this.name = name;
    this.open = open;
  }

  /**
   * @param generate - called for each epoch with its number; gives the rows of that epoch.
   * @param options - `name`: what errors call this data, "stream" by default.
   */
  static fromGenerator<R>(
    generate: (epoch: number) => Iterable<R> | AsyncIterable<R>,
    options: { readonly name?: string } = {},
  ): IterableDataset<R> {
    const name = options.name ?? "stream";
    return new IterableDataset(name, async function* (epoch) {
      let index = 0;
      for await (const row of generate(epoch)) yield { row, index: index++ };
    });
  }

  /** The rows of files of any kind that is read, one file after the other, each opened when its turn comes. */
  static fromFiles(paths: readonly string[], options: { readonly name?: string } = {}): IterableDataset<Row> {
    const name = options.name ?? paths.join(" + ");
    for (const path of paths) requireFileKind(path);
    return IterableDataset.fromGenerator(
      async function* () {
        for (const path of paths) yield* streamRows(path);
      },
      { name },
    );
  }

  /** How a message names the row at `index` of the original stream. */
  where(index: number): string {
    return `${this.name}, row ${index}`;
  }

  map<Out>(transform: (row: R, index: number) => Out | Promise<Out>): IterableDataset<Out> {
    return this.derive(async function* (rows, _epoch, where) {
      for await (const { row, index } of rows) {
        let out: Out;
        try {
          out = await transform(row, index);
        } catch (cause) {
          throw atRow(where(index), "map", cause);
        }
        yield { row: out, index };
      }
    });
  }

  filter(keep: (row: R, index: number) => boolean | Promise<boolean>): IterableDataset<R> {
    return this.derive(async function* (rows, _epoch, where) {
      for await (const placed of rows) {
        let kept: boolean;
        try {
          kept = await keep(placed.row, placed.index);
        } catch (cause) {
          throw atRow(where(placed.index), "filter", cause);
        }
        if (kept) yield placed;
      }
    });
  }

  /** Gives columns other names, e.g. `{ question: "prompt", answer: "completion" }`. Each row must have them. */
  renameColumns(names: ColumnNames): IterableDataset<Row> {
    return this.map((row, index) => renamedRow(row, names, this.where(index)));
  }

  /** Leaves columns out. Each row must have them. */
  removeColumns(names: readonly string[]): IterableDataset<Row> {
    return this.map((row, index) => withoutColumns(row, names, this.where(index)));
  }

  /** Leaves all columns out but these, which each row must have. */
  selectColumns(names: readonly string[]): IterableDataset<Row> {
    return this.map((row, index) => onlyColumns(row, names, this.where(index)));
  }

  /** The first `count` rows, or all if there are fewer. */
  take(count: number): IterableDataset<R> {
    requireCount("count", count, 0);
    return this.derive(async function* (rows) {
      let left = count;
      if (left === 0) return;
      for await (const placed of rows) {
        yield placed;
        if (--left === 0) return;
      }
    });
  }

  /** All but the first `count` rows. */
  skip(count: number): IterableDataset<R> {
    requireCount("count", count, 0);
    return this.derive(async function* (rows) {
      let left = count;
      for await (const placed of rows) {
        if (left > 0) left -= 1;
        else yield placed;
      }
    });
  }

  /**
   * Shuffles within a buffer: each row that leaves is drawn from the `bufferSize` rows that wait.
   * The order is a function of the seed and the epoch.
   */
  shuffle(seed: number, bufferSize = 1000): IterableDataset<R> {
    requireCount("bufferSize", bufferSize, 1);
    return this.derive(async function* (rows, epoch) {
      const random = new Random(seed, "stream order", epoch);
      const waiting: Placed<R>[] = [];
      for await (const placed of rows) {
        if (waiting.length < bufferSize) {
          waiting.push(placed);
          continue;
        }
        const chosen = random.integer(bufferSize);
        const leaving = waiting[chosen]!;
        waiting[chosen] = placed;
        yield leaving;
      }
      for (const chosen of random.permutation(waiting.length)) yield waiting[chosen]!;
    });
  }

  /** The rows of one epoch. */
  async *epoch(epoch: number): AsyncGenerator<R> {
    for await (const { row } of this.open(epoch)) yield row;
  }

  /** The rows of one epoch, each with its name for errors. */
  async *entries(epoch: number): AsyncGenerator<{ readonly row: R; readonly where: string }> {
    for await (const { row, index } of this.open(epoch)) yield { row, where: this.where(index) };
  }

  /** The rows of epoch 0. */
  [Symbol.asyncIterator](): AsyncGenerator<R> {
    return this.epoch(0);
  }

  /** Reads epoch 0 into memory, which gives random access, a length and all that needs them. */
  async toDataset(): Promise<Dataset<R>> {
    const rows: R[] = [];
    for await (const row of this) rows.push(row);
    return new Dataset(new ArraySource(rows, this.name));
  }

  private derive<Out>(
    step: (
      rows: AsyncIterable<Placed<R>>,
      epoch: number,
      where: (index: number) => string,
    ) => AsyncIterable<Placed<Out>>,
  ): IterableDataset<Out> {
    return new IterableDataset(this.name, (epoch) =>
      step(this.open(epoch), epoch, (index) => this.where(index)),
    );
  }
}

function requireCount(subject: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new CraftError({ subject, value, reason: `must be an integer of at least ${least}` });
}
