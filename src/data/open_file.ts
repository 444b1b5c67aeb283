/** @file Files of rows, by the ending of their name: with random access, or from front to back. */
import { requireFileKind } from "./file_kinds.js";
import {
  firstCharacter,
  JsonLinesFile,
  readJsonArray,
  readJsonLines,
  streamJsonLines,
} from "./json_files.js";
import type { Row, RowSource } from "./source.js";

/** Opens a file for random access. JSON Lines and Parquet stay on the disk; other formats and what is compressed is read into memory. */
export async function openRows(path: string): Promise<RowSource<Row>> {
  switch (requireFileKind(path)) {
    case "parquet":
      return openParquet(path);
    case "csv":
    case "tsv":
      return openCsv(path);
    case "jsonl":
      return openJsonLines(path);
    case "json":
      return (await firstCharacter(path)) === "[" ? readJsonArray(path) : openJsonLines(path);
  }
}

// The libraries of these two are read from the disk on first use: a run on other files need not wait for them.

/** A Parquet file, read by row group. */
export async function openParquet(path: string): Promise<RowSource<Row>> {
  const { ParquetFile } = await import("./parquet_file.js");
  return ParquetFile.open(path);
}

/** CSV or TSV, read into memory. */
export async function openCsv(path: string): Promise<RowSource<Row>> {
  const { readCsv } = await import("./csv_file.js");
  return readCsv(path);
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
  else if (kind === "csv" || kind === "tsv") {
    const { streamCsv } = await import("./csv_file.js");
    yield* streamCsv(path);
  } else {
    const source = await openRows(path);
    try {
      for (let index = 0; index < source.length; index++) yield await source.read(index);
    } finally {
      source.close();
    }
  }
}
