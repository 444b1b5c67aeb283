/** @file Where the rows of a dataset come from, and how a row is named in an error. */
import { CraftError } from "../errors.js";

/** A row as a file holds it: column names to JSON values. */
export type Row = Readonly<Record<string, unknown>>;

/** Random access to rows that may be in memory, in a file or made on demand. */
export interface RowSource<R> {
  /** What the user calls this data: a path, or the name that was given. */
  readonly name: string;
  readonly length: number;
  /** Row `index`, with 0 <= index < length. */
  read(index: number): R | Promise<R>;
  /** How a message names row `index`, such as `train.jsonl, line 7`. */
  where(index: number): string;
  /** Frees what the source holds open. */
  close(): void;
}

export class ArraySource<R> implements RowSource<R> {
  readonly name: string;
  readonly length: number;
  private readonly rows: readonly R[];

  constructor(rows: readonly R[], name: string) {
    this.rows = rows;
    this.name = name;
    this.length = rows.length;
  }

  read(index: number): R {
    const row = this.rows[index];
    if (row === undefined) {
      throw new CraftError({ subject: this.where(index), reason: "the row is undefined" });
    }
    return row;
  }

  where(index: number): string {
    return `${this.name}, row ${index}`;
  }

  close(): void {}
}

/** Some rows of another source, in a given order; errors name them as that source does. */
export class SelectedSource<R> implements RowSource<R> {
  readonly name: string;
  readonly length: number;
  private readonly parent: RowSource<R>;
  private readonly indices: Uint32Array;

  constructor(parent: RowSource<R>, indices: Uint32Array) {
    this.parent = parent;
    this.indices = indices;
    this.name = parent.name;
    this.length = indices.length;
  }

  read(index: number): R | Promise<R> {
    return this.parent.read(this.indices[index]!);
  }

  where(index: number): string {
    return this.parent.where(this.indices[index]!);
  }

  close(): void {
    this.parent.close();
  }
}

/** Rows of another source put through a function at each read. */
export class MappedSource<R, Out> implements RowSource<Out> {
  readonly name: string;
  readonly length: number;
  private readonly parent: RowSource<R>;
  private readonly transform: (row: R, index: number) => Out | Promise<Out>;

  constructor(parent: RowSource<R>, transform: (row: R, index: number) => Out | Promise<Out>) {
    this.parent = parent;
    this.transform = transform;
    this.name = parent.name;
    this.length = parent.length;
  }

  async read(index: number): Promise<Out> {
    const row = await this.parent.read(index);
    try {
      return await this.transform(row, index);
    } catch (cause) {
      throw atRow(this.where(index), "map", cause);
    }
  }

  where(index: number): string {
    return this.parent.where(index);
  }

  close(): void {
    this.parent.close();
  }
}

/** The rows of several sources one after the other. */
export class ConcatenatedSource<R> implements RowSource<R> {
  readonly name: string;
  readonly length: number;
  private readonly parts: readonly RowSource<R>[];

  constructor(parts: readonly RowSource<R>[]) {
    this.parts = parts;
    this.name = parts.map((part) => part.name).join(" + ");
    this.length = parts.reduce((sum, part) => sum + part.length, 0);
  }

  read(index: number): R | Promise<R> {
    const [part, local] = this.locate(index);
    return part.read(local);
  }

  where(index: number): string {
    const [part, local] = this.locate(index);
    return part.where(local);
  }

  close(): void {
    for (const part of this.parts) part.close();
  }

  private locate(index: number): [RowSource<R>, number] {
    let local = index;
    for (const part of this.parts) {
      if (local < part.length) return [part, local];
      local -= part.length;
    }
    throw new CraftError({ subject: "index", value: index, reason: `${this.name} has ${this.length} rows` });
  }
}

/** The error of a user's function, with the row at which it came up. */
export function atRow(where: string, method: string, cause: unknown): CraftError {
  if (cause instanceof CraftError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new CraftError({
    subject: where,
    reason: `the function given to ${method} failed: ${message}`,
    cause,
  });
}
