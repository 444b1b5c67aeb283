/** @file Datasets with random access: rows in memory, in files and made from other rows. */
import { CraftError } from "../errors.js";
import { Random } from "../random.js";
import { onlyColumns, renamedRow, withoutColumns, type ColumnNames } from "./columns.js";
import { readJsonArray } from "./json_files.js";
import { openCsv, openJsonLines, openParquet, openRows } from "./open_file.js";
import {
  ArraySource,
  atRow,
  ConcatenatedSource,
  MappedSource,
  SelectedSource,
  type Row,
  type RowSource,
} from "./source.js";

export interface SplitOptions {
  /** Rows for the test part: a share of all, above 0 and below 1 (rounded up), or a number of rows, 1 or more. */
  readonly testSize: number;
  /** Default 42. */
  readonly seed?: number;
  /** Shuffle before splitting. Default true; otherwise the test part is the end. */
  readonly shuffle?: boolean;
}

/**
 * Rows with random access, in a fixed order. Datasets are immutable: each method gives a new one and leaves this one
 * as it was. Nothing is read before it is needed; errors name the file and line (or the row) that a value came from.
 *
 * @example
 * const { train, test } = (await Dataset.fromJsonl("pairs.jsonl")).shuffle(42).split({ testSize: 0.1 });
 */
export class Dataset<R = Row> {
  private readonly source: RowSource<R>;

  constructor(source: RowSource<R>) {
    this.source = source;
  }

  /**
   * @param rows - the rows, which are not copied.
   * @param options - `name`: what errors call this data, "dataset" by default.
   */
  static fromArray<R>(rows: readonly R[], options: { readonly name?: string } = {}): Dataset<R> {
    return new Dataset(new ArraySource(rows, options.name ?? "dataset"));
  }

  /**
   * A JSON Lines file, which may be larger than memory: one pass notes where the lines begin (8 bytes a row), rows are
   * read and parsed when asked for. A malformed line is reported with its number when it is read. What is compressed
   * (`.jsonl.gz`) is read into memory.
   */
  static async fromJsonl(path: string): Promise<Dataset> {
    return new Dataset(await openJsonLines(path));
  }

  /** A file that holds one JSON array of objects, read into memory; it may be compressed (`.json.gz`). */
  static async fromJson(path: string): Promise<Dataset> {
    return new Dataset(await readJsonArray(path));
  }

  /**
   * A Parquet file, of which row groups are read when one of their rows is asked for. Integers come as numbers (beyond
   * 2^53 as bigint), binary columns as bytes, dates and times as `Date`, missing values as null.
   */
  static async fromParquet(path: string): Promise<Dataset> {
    return new Dataset(await openParquet(path));
  }

  /**
   * A CSV file, or with the ending `.tsv` one with tabs, read into memory: a line of names, then rows with as many fields.
   * Columns of numbers and of true and false come as such; an empty field is null. It may be compressed.
   */
  static async fromCsv(path: string): Promise<Dataset> {
    return new Dataset(await openCsv(path));
  }

  /** A file of any of these kinds, by its ending: see {@link fileEndings}. A `.json` file may hold an array or lines. */
  static async fromFile(path: string): Promise<Dataset> {
    return new Dataset(await openRows(path));
  }

  /** Collects what a generator gives into memory. For rows that shall stay a stream see {@link IterableDataset}. */
  static async fromGenerator<R>(
    generate: () => Iterable<R> | AsyncIterable<R>,
    options: { readonly name?: string } = {},
  ): Promise<Dataset<R>> {
    const rows: R[] = [];
    for await (const row of generate()) rows.push(row);
    return Dataset.fromArray(rows, options);
  }

  /** The rows of several datasets one after the other. See {@link concatenateDatasets} for streams too. */
  static concatenate<R>(...datasets: readonly Dataset<R>[]): Dataset<R> {
    return new Dataset(new ConcatenatedSource(datasets.map((dataset) => dataset.source)));
  }

  get length(): number {
    return this.source.length;
  }

  /** What errors call this data: its path, or the name that was given. */
  get name(): string {
    return this.source.name;
  }

  /** How an error names row `index`, such as `train.jsonl, line 7`. */
  where(index: number): string {
    this.require(index);
    return this.source.where(index);
  }

  /** @param index - 0 <= index < length. */
  async row(index: number): Promise<R> {
    this.require(index);
    return this.source.read(index);
  }

  /** The rows at the given places, in that order. */
  async rows(indices: Iterable<number>): Promise<R[]> {
    const rows: R[] = [];
    for (const index of indices) rows.push(await this.row(index));
    return rows;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<R> {
    for (let index = 0; index < this.length; index++) yield await this.source.read(index);
  }

  async toArray(): Promise<R[]> {
    const rows: R[] = [];
    for await (const row of this) rows.push(row);
    return rows;
  }

  /** The column names of the first row; none if there is no row. */
  async columns(): Promise<string[]> {
    return this.length === 0 ? [] : Object.keys(Object(await this.source.read(0)) as object);
  }

  /** Puts each row through a function when it is read, each time it is read. {@link Dataset.cached} keeps the results. */
  map<Out>(transform: (row: R, index: number) => Out | Promise<Out>): Dataset<Out> {
    return new Dataset(new MappedSource(this.source, transform));
  }

  /** Gives columns other names, e.g. `{ question: "prompt", answer: "completion" }`. Each row must have them. */
  renameColumns(names: ColumnNames): Dataset {
    return this.map((row, index) => renamedRow(row, names, this.where(index)));
  }

  /** Leaves columns out. Each row must have them. */
  removeColumns(names: readonly string[]): Dataset {
    return this.map((row, index) => withoutColumns(row, names, this.where(index)));
  }

  /** Leaves all columns out but these, which each row must have. */
  selectColumns(names: readonly string[]): Dataset {
    return this.map((row, index) => onlyColumns(row, names, this.where(index)));
  }

  /** The rows for which `keep` is true. Reads all rows once, and keeps 4 bytes for each that stays. */
  async filter(keep: (row: R, index: number) => boolean | Promise<boolean>): Promise<Dataset<R>> {
    const kept: number[] = [];
    for (let index = 0; index < this.length; index++) {
      const row = await this.source.read(index);
      try {
        if (await keep(row, index)) kept.push(index);
      } catch (cause) {
        throw atRow(this.source.where(index), "filter", cause);
      }
    }
    return new Dataset(new SelectedSource(this.source, Uint32Array.from(kept)));
  }

  /** All rows in an order that is a function of the seed. */
  shuffle(seed: number): Dataset<R> {
    return new Dataset(new SelectedSource(this.source, new Random(seed, "shuffle").permutation(this.length)));
  }

  /** The rows at the given places, in that order; a place may come twice. */
  select(indices: Iterable<number>): Dataset<R> {
    const chosen = [...indices];
    for (const index of chosen) this.require(index);
    return new Dataset(new SelectedSource(this.source, Uint32Array.from(chosen)));
  }

  /** The first `count` rows; there must be as many. */
  take(count: number): Dataset<R> {
    this.requireCount(count);
    return this.range(0, count);
  }

  /** All but the first `count` rows; there must be as many. */
  skip(count: number): Dataset<R> {
    this.requireCount(count);
    return this.range(count, this.length);
  }

  /** Two parts without a common row, neither of them empty. */
  split(options: SplitOptions): { train: Dataset<R>; test: Dataset<R> } {
    const { testSize, seed = 42, shuffle = true } = options;
    const count = testSize < 1 ? Math.ceil(testSize * this.length) : testSize;
    if (!Number.isInteger(count) || count < 1 || count >= this.length) {
      throw new CraftError({
        subject: "testSize",
        value: testSize,
        reason: `must leave rows on both sides of the ${this.length} of ${this.name}`,
        remedy: "Give a share above 0 and below 1, or a number of rows",
      });
    }
    const ordered = shuffle ? this.shuffle(seed) : this;
    return { train: ordered.take(this.length - count), test: ordered.skip(this.length - count) };
  }

  /** The rows of this dataset, then those of the others. */
  concatenate(...others: readonly Dataset<R>[]): Dataset<R> {
    return Dataset.concatenate(this, ...others);
  }

  /** Reads all rows once and keeps them in memory. */
  async cached(): Promise<Dataset<R>> {
    const rows = await this.toArray();
    const places = this.source;
    return new Dataset({
      name: places.name,
      length: rows.length,
      read: (index) => rows[index]!,
      where: (index) => places.where(index),
      close: () => places.close(),
    });
  }

  /** Closes the files behind this dataset and all that were made from the same ones. */
  close(): void {
    this.source.close();
  }

  private range(from: number, to: number): Dataset<R> {
    return new Dataset(
      new SelectedSource(
        this.source,
        Uint32Array.from({ length: to - from }, (_, i) => from + i),
      ),
    );
  }

  private require(index: number): void {
    if (Number.isInteger(index) && index >= 0 && index < this.length) return;
    throw new CraftError({
      subject: "row",
      value: index,
      reason: `${this.name} has the rows 0 to ${this.length - 1}`,
    });
  }

  private requireCount(count: number): void {
    if (Number.isInteger(count) && count >= 0 && count <= this.length) return;
    throw new CraftError({
      subject: "count",
      value: count,
      reason: `must be an integer from 0 to ${this.length}, the number of rows in ${this.name}`,
    });
  }
}
