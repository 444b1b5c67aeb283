/** @file Rows from JSON Lines, read by position so that a file may be larger than memory, and from JSON arrays. */
import { constants as bufferLimits } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { CraftError } from "../errors.js";
import { fileBytes, fileLines, wholeFile } from "./gzip.js";
import { ArraySource, type Row, type RowSource } from "./source.js";

const chunkBytes = 1 << 20;
const readAheadBytes = 1 << 18;
const newline = 0x0a;

/**
 * A JSON Lines file: one object a line, UTF-8. Opening it makes one pass that notes where each line begins (8 bytes a
 * row); rows are then read and parsed one by one, in any order. Rows read in order come from a small read-ahead buffer.
 */
export class JsonLinesFile implements RowSource<Row> {
  readonly name: string;
  readonly length: number;
  private readonly file: number;
  private readonly starts: Float64Array;
  private buffer: Buffer = Buffer.alloc(0);
  private bufferStart = 0;
  private expected = 0;
  private closed = false;

  private constructor(path: string, file: number, starts: Float64Array) {
    this.name = path;
    this.file = file;
    this.starts = starts;
    this.length = starts.length - 1;
  }

  /** @throws {@link CraftError} if the file cannot be read or holds an empty line between others. */
  static async open(path: string): Promise<JsonLinesFile> {
    const file = openFile(path);
    try {
      return new JsonLinesFile(path, file, await indexLines(path, file));
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  read(index: number): Row {
    const start = this.starts[index]!;
    const bytes = this.bytes(start, this.starts[index + 1]!, index === this.expected);
    this.expected = index + 1;
    if (bytes.length === 0) {
      throw new CraftError({
        subject: this.where(index),
        reason: "the file has become shorter since it was opened",
        remedy: "Open it again",
      });
    }
    return asRow(parseJson(bytes, this.where(index)), this.where(index));
  }

  where(index: number): string {
    return `${this.name}, line ${index + 1}`;
  }

  close(): void {
    if (!this.closed) closeSync(this.file);
    this.closed = true;
  }

  private bytes(start: number, end: number, inOrder: boolean): Buffer {
    const length = end - start;
    const offset = start - this.bufferStart;
    if (offset >= 0 && offset + length <= this.buffer.length)
      return this.buffer.subarray(offset, offset + length);
    if (this.closed) throw new CraftError({ subject: this.name, reason: "the dataset was closed" });
    const wanted = inOrder ? Math.max(length, readAheadBytes) : length;
    const buffer = Buffer.allocUnsafe(wanted);
    const read = readAt(this.file, buffer, start, this.name);
    this.buffer = buffer.subarray(0, read);
    this.bufferStart = start;
    return read < length ? Buffer.alloc(0) : this.buffer.subarray(0, length);
  }
}

/** The rows of a file that holds one JSON array of objects. All of it is read into memory. */
export async function readJsonArray(path: string): Promise<RowSource<Row>> {
  closeSync(openFile(path));
  const bytes = await wholeFile(path);
  if (bytes.length > bufferLimits.MAX_STRING_LENGTH) {
    throw new CraftError({
      subject: path,
      reason: `a JSON array of ${bytes.length} bytes cannot be parsed in one piece`,
      remedy: "Write it as JSON Lines, one object a line",
    });
  }
  const parsed = parseJson(bytes, path);
  if (!Array.isArray(parsed)) {
    throw new CraftError({ subject: path, reason: "the file does not hold a JSON array of rows" });
  }
  const values: readonly unknown[] = parsed;
  return new ArraySource(
    values.map((value, i) => asRow(value, `${path}, row ${i}`)),
    path,
  );
}

/** The rows of JSON Lines one after the other; the file may be compressed. */
export async function* streamJsonLines(path: string): AsyncGenerator<Row> {
  for await (const { bytes, line } of fileLines(path)) {
    const where = `${path}, line ${line}`;
    yield asRow(parseJson(bytes, where), where);
  }
}

/** Reads compressed JSON Lines into memory: there is no way to the middle of such a file but through all before. */
export async function readJsonLines(path: string): Promise<RowSource<Row>> {
  closeSync(openFile(path));
  const rows: Row[] = [];
  for await (const row of streamJsonLines(path)) rows.push(row);
  return {
    name: path,
    length: rows.length,
    read: (index) => rows[index]!,
    where: (index) => `${path}, line ${index + 1}`,
    close: () => undefined,
  };
}

/** The first character of a file that is not white space, for telling an array from lines; undefined if there is none. */
export async function firstCharacter(path: string): Promise<string | undefined> {
  closeSync(openFile(path));
  for await (const bytes of fileBytes(path)) {
    const text = bytes
      .toString("utf8")
      .replace(/^\uFEFF/, "")
      .trimStart();
    if (text !== "") return text[0];
  }
  return undefined;
}

/** The byte offset of each line's beginning, and of the end of the last line that is not blank. */
async function indexLines(path: string, file: number): Promise<Float64Array> {
  let starts = new Float64Array(1024);
  let rows = 0;
  let line = 0;
  let lineStart = 0;
  let lastEnd = 0;
  let blank = true;
  let blankLine = 0;
  const endLine = (end: number) => {
    line += 1;
    if (blank) {
      blankLine ||= line;
    } else {
      if (blankLine > 0) {
        throw new CraftError({
          subject: `${path}, line ${blankLine}`,
          reason: "the line is empty",
          remedy: "Remove it",
        });
      }
      if (rows + 1 === starts.length) starts = grown(starts);
      starts[rows++] = lineStart;
      lastEnd = end;
    }
    lineStart = end;
    blank = true;
  };
  const chunk = Buffer.allocUnsafe(chunkBytes);
  let position = 0;
  for (let turn = 1; ; turn++) {
    const size = readAt(file, chunk, position, path);
    let at = 0;
    if (position === 0) {
      refuseCompressed(path, chunk.subarray(0, size));
      if (chunk.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf]))) at = lineStart = 3;
    }
    while (at < size) {
      const found = chunk.subarray(0, size).indexOf(newline, at);
      const end = found === -1 ? size : found;
      for (; blank && at < end; at++) blank = isSpace(chunk[at]!);
      if (found === -1) break;
      at = found + 1;
      endLine(position + at);
    }
    position += size;
    if (size < chunk.length) break;
    if (turn % 16 === 0) await nextTurn();
  }
  if (position > lineStart) endLine(position);
  starts[rows] = lastEnd;
  return starts.slice(0, rows + 1);
}

function grown(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(values.length * 2);
  larger.set(values);
  return larger;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

function refuseCompressed(path: string, head: Buffer): void {
  const kind =
    head[0] === 0x1f && head[1] === 0x8b
      ? "gzip"
      : head.subarray(0, 4).toString("latin1") === "PAR1"
        ? "Parquet"
        : undefined;
  if (kind === undefined) return;
  throw new CraftError({
    subject: path,
    reason: `this is a ${kind} file, not JSON Lines`,
    remedy: `Let its name end in ${kind === "gzip" ? ".jsonl.gz" : ".parquet"}`,
  });
}

function openFile(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw new CraftError({ subject: path, reason: `cannot be opened (${messageOf(cause)})`, cause });
  }
}

/** Fills `buffer` from `position` on and returns how many bytes there were. */
function readAt(file: number, buffer: Buffer, position: number, path: string): number {
  let filled = 0;
  try {
    while (filled < buffer.length) {
      const count = readSync(file, buffer, filled, buffer.length - filled, position + filled);
      if (count === 0) break;
      filled += count;
    }
  } catch (cause) {
    throw new CraftError({ subject: path, reason: `cannot be read (${messageOf(cause)})`, cause });
  }
  return filled;
}

function parseJson(bytes: Buffer, where: string): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CraftError({ subject: where, reason: "is not valid UTF-8", cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CraftError({
      subject: where,
      value: text.trim(),
      reason: `is not valid JSON (${messageOf(cause)})`,
      cause,
    });
  }
}

function asRow(value: unknown, where: string): Row {
  if (isRow(value)) return value;
  throw new CraftError({ subject: where, value, reason: "a row must be a JSON object of columns" });
}

function isRow(value: unknown): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
