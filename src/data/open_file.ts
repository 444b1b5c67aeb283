/** @file Files of rows, by the ending of their name: with random access, or from front to back. */
import { readCsv, streamCsv } from "./csv_file.js";
import { requireFileKind } from "./file_kinds.js";
import {
  firstCharacter,
  JsonLinesFile,
  readJsonArray,
  readJsonLines,
  streamJsonLines,
} from "./json_files.js";
import { ParquetFile } from "./parquet_file.js";
import type { Row, RowSource } from "./source.js";

/** Opens a file for random access. JSON Lines and Parquet stay on the disk; other formats and what is compressed is read into memory. */
export async function openRows(path: string): Promise<RowSource<Row>> {
  switch (requireFileKind(path)) {
    case "parquet":
      return ParquetFile.open(path);
    case "csv":
    case "tsv":
      return readCsv(path);
    case "jsonl":
      return openJsonLines(path);
    case "json":
      return (await firstCharacter(path)) === "[" ? readJsonArray(path) : openJsonLines(path);
  }
}

/** JSON Lines: read by position, or into memory if they are compressed. */
export function openJsonLines(path: string): Promise<RowSource<Row>> {
  return path.toLowerCase().endsWith(".gz") ? readJsonLines(path) : JsonLinesFile.open(path);
}

/** The rows of a file one after the other. Little of it is in memory at any time, but for a JSON array. */
export async function* streamRows(path: string): AsyncGenerator<Row> {
  const kind = requireFileKind(path);
  if (kind === "jsonl" || (kind === "json" && (await firstCharacter(path)) !== "["))
    yield* streamJsonLines(path);
  else if (kind === "csv" || kind === "tsv") yield* streamCsv(path);
  else {
    const source = await openRows(path);
    try {
      for (let index = 0; index < source.length; index++) yield await source.read(index);
    } finally {
      source.close();
    }
  }
}
