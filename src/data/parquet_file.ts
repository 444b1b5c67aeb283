/** @file Rows from Parquet files, read by row group. */
import { closeSync, openSync, readSync, fstatSync } from "node:fs";
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer, type FileMetaData } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { CraftError } from "../errors.js";
import type { Row, RowSource } from "./source.js";

/** Row groups are kept while they are together no larger than this, unpacked; the last one always is. */
const keptBytes = 128 * 2 ** 20;

interface RowGroup {
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
}

/**
 * A Parquet file of any codec and encoding. Opening it reads the footer; a row group is read when one of its rows is
 * asked for, and kept for the next ones. Integers come as numbers, beyond 2^53 as bigint; binary columns as bytes; dates
 * and times as `Date`; missing values as null.
 */
export class ParquetFile implements RowSource<Row> {
  readonly name: string;
  readonly length: number;
  private readonly descriptor: number;
  private readonly file: AsyncBuffer;
  private readonly metadata: FileMetaData;
  private readonly groups: readonly RowGroup[];
  private readonly kept = new Map<RowGroup, Promise<readonly Row[]>>();
  private closed = false;

  private constructor(path: string, descriptor: number, file: AsyncBuffer, metadata: FileMetaData) {
    this.name = path;
    this.descriptor = descriptor;
    this.file = file;
    this.metadata = metadata;
    let start = 0;
    this.groups = metadata.row_groups.map((group) => {
      const end = start + Number(group.num_rows);
      const found = { start, end, bytes: Number(group.total_byte_size) };
      start = end;
      return found;
    });
    this.length = start;
  }

  /** @throws {@link CraftError} if the file cannot be opened, is no Parquet file, or is cut short. */
  static async open(path: string): Promise<ParquetFile> {
    let descriptor: number;
    try {
      descriptor = openSync(path, "r");
    } catch (cause) {
      throw new CraftError({ subject: path, reason: `cannot be opened (${messageOf(cause)})`, cause });
    }
    try {
      const size = fstatSync(descriptor).size;
      const file = {
        byteLength: size,
        slice: (start: number, end = size) => readBytes(descriptor, path, start, end),
      };
      checkMagic(file, path);
      return new ParquetFile(path, descriptor, file, await readFooter(file, path));
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  async read(index: number): Promise<Row> {
    const group = this.groups.find(({ end }) => index < end)!;
    const rows = await this.rowsOf(group);
    return rows[index - group.start]!;
  }

  where(index: number): string {
    return `${this.name}, row ${index}`;
  }

  close(): void {
    if (!this.closed) closeSync(this.descriptor);
    this.closed = true;
    this.kept.clear();
  }

  private rowsOf(group: RowGroup): Promise<readonly Row[]> {
    const known = this.kept.get(group);
    if (known !== undefined) {
      // The one that was used last is dropped last.
      this.kept.delete(group);
      this.kept.set(group, known);
      return known;
    }
    if (this.closed) throw new CraftError({ subject: this.name, reason: "the dataset was closed" });
    const rows = this.decode(group);
    rows.catch(() => this.kept.delete(group));
    this.kept.set(group, rows);
    let total = [...this.kept.keys()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const old of this.kept.keys()) {
      if (total <= keptBytes || old === group) break;
      this.kept.delete(old);
      total -= old.bytes;
    }
    return rows;
  }

  private async decode({ start, end }: RowGroup): Promise<readonly Row[]> {
    const { file, metadata } = this;
    try {
      const rows = await parquetReadObjects({
        file,
        metadata,
        rowStart: start,
        rowEnd: end,
        compressors,
        utf8: false,
      });
      if (rows.length !== end - start) throw new Error(`${rows.length} rows instead of ${end - start}`);
      return rows.map((row) => plainRow(row));
    } catch (cause) {
      if (cause instanceof CraftError) throw cause;
      throw new CraftError({
        subject: `${this.name}, rows ${start} to ${end - 1}`,
        reason: `cannot be read (${messageOf(cause)})`,
        remedy: "Copy or fetch the file anew",
        cause,
      });
    }
  }
}

const magic = "PAR1";

function checkMagic(
  file: { readonly byteLength: number; slice(start: number, end?: number): ArrayBuffer },
  path: string,
): void {
  const text = (start: number): string => Buffer.from(file.slice(start, start + 4)).toString("latin1");
  const size = file.byteLength;
  if (size >= 12 && text(0) === magic && text(size - 4) === magic) return;
  const begun = size >= 4 && text(0) === magic;
  throw new CraftError({
    subject: path,
    reason: begun ? "the Parquet file is cut short: its end is missing" : "is no Parquet file",
    remedy: begun ? "Copy or fetch the file anew" : "Give a file that begins and ends with PAR1",
  });
}

async function readFooter(file: AsyncBuffer, path: string): Promise<FileMetaData> {
  try {
    return await parquetMetadataAsync(file);
  } catch (cause) {
    if (cause instanceof CraftError) throw cause;
    throw new CraftError({
      subject: path,
      reason: `its footer cannot be read (${messageOf(cause)})`,
      remedy: "Copy or fetch the file anew",
      cause,
    });
  }
}

function readBytes(descriptor: number, path: string, start: number, end: number): ArrayBuffer {
  const buffer = new ArrayBuffer(Math.max(0, end - start));
  const view = new Uint8Array(buffer);
  for (let filled = 0; filled < view.length;) {
    const count = readSync(descriptor, view, filled, view.length - filled, start + filled);
    if (count === 0)
      throw new CraftError({
        subject: path,
        reason: `ends before byte ${end}, where its footer says that there is data`,
        remedy: "Copy or fetch the file anew",
      });
    filled += count;
  }
  return buffer;
}

const plainRow = (row: object): Row =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]));

/** Values as JSON would give them, where it can. */
function plain(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof BigInt64Array || value instanceof BigUint64Array) return Array.from(value, plain);
  if (value instanceof Uint8Array || value instanceof Date) return value;
  if (ArrayBuffer.isView(value) && "length" in value)
    return Array.from(value as unknown as ArrayLike<number>);
  if (typeof value === "object" && value !== null) return plainRow(value);
  return value;
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
