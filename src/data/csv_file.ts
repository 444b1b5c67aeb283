/** @file Rows from CSV and TSV files with a header. */
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { CraftError } from "../errors.js";
import { requireFileKind } from "./file_kinds.js";
import { fileBytes } from "./gzip.js";
import type { Row, RowSource } from "./source.js";

/** What all values of a column that are not empty can be read as. */
type ColumnType = "integer" | "number" | "boolean" | "text";

interface CsvRecord {
  readonly fields: readonly string[];
  /** The line where it begins. */
  readonly line: number;
}

/**
 * Reads a whole file: a line of column names, then rows with as many fields each (RFC 4180; quoted fields may hold line
 * breaks). Columns of numbers and of true and false are read as such, as pandas does; an empty field is null.
 *
 * @throws {@link CraftError} naming the line of a row with another number of fields, or of a quote that does not end.
 */
export async function readCsv(path: string): Promise<RowSource<Row>> {
  const records: CsvRecord[] = [];
  const names = await csvHeader(path, (record) => records.push(record));
  const types = new ColumnTypes(names.length);
  for (const { fields } of records) types.see(fields);
  return {
    name: path,
    length: records.length,
    read: (index) => typedRow(names, records[index]!.fields, types.all),
    where: (index) => `${path}, line ${records[index]!.line}`,
    close: () => undefined,
  };
}

/** The rows of a file one after the other. The file is read twice: what its columns are is known at its end only. */
export async function* streamCsv(path: string): AsyncGenerator<Row> {
  let types: ColumnTypes | undefined;
  const names = await csvHeader(path, ({ fields }) => (types ??= new ColumnTypes(fields.length)).see(fields));
  let isHeader = true;
  for await (const { fields } of csvRecords(path)) {
    if (!isHeader && types !== undefined) yield typedRow(names, fields, types.all);
    isHeader = false;
  }
}

/** Reads a file to its end. @returns the names of its columns. */
async function csvHeader(path: string, onRow: (record: CsvRecord) => void): Promise<readonly string[]> {
  let names: readonly string[] | undefined;
  for await (const record of csvRecords(path)) {
    if (names === undefined) {
      names = record.fields;
      const twice = names.find((name, i) => names!.indexOf(name) !== i);
      if (twice !== undefined)
        throw new CraftError({
          subject: `${path}, column ${twice}`,
          reason: "is there twice",
          remedy: "Rename one",
        });
      continue;
    }
    if (record.fields.length !== names.length)
      throw new CraftError({
        subject: `${path}, line ${record.line}`,
        value: record.fields.join(requireFileKind(path) === "tsv" ? "\t" : ","),
        reason: `has ${record.fields.length} fields, and the header has ${names.length} (${names.join(", ")})`,
        remedy: "Mend the row; a field that holds a delimiter, a quote or a line break must be quoted",
      });
    onRow(record);
  }
  if (names === undefined) throw new CraftError({ subject: path, reason: "is empty: it has no header" });
  return names;
}

async function* csvRecords(path: string): AsyncGenerator<CsvRecord> {
  const parser = parse({
    bom: true,
    info: true,
    delimiter: requireFileKind(path) === "tsv" ? "\t" : ",",
    // Told with the names of the columns instead.
    relax_column_count: true,
    skip_empty_lines: true,
  });
  const bytes = Readable.from(fileBytes(path));
  bytes.on("error", (error) => parser.destroy(error));
  bytes.pipe(parser);
  let ended = 0;
  try {
    const parsed: AsyncIterable<{ readonly record: string[]; readonly info: { readonly lines: number } }> =
      parser;
    for await (const { record, info } of parsed) {
      const breaks = record.reduce((sum, field) => sum + (field.match(/\r\n|\r|\n/g)?.length ?? 0), 0);
      ended = Math.max(ended, info.lines);
      yield { fields: record, line: info.lines - breaks };
    }
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const unclosed = cause.code === "CSV_QUOTE_NOT_CLOSED";
    throw new CraftError({
      subject: `${path}, line ${ended + 1}`,
      reason: unclosed
        ? "a quote is opened in this row and nowhere closed; the file may be cut short"
        : `cannot be read (${cause.message})`,
      remedy: 'Inside a quoted field, write "" for a quote',
      cause,
    });
  } finally {
    bytes.destroy();
    parser.destroy();
  }
}

/** Finds out what the columns hold. */
class ColumnTypes {
  private readonly types: (ColumnType | undefined)[];

  constructor(columns: number) {
    this.types = new Array<undefined>(columns).fill(undefined);
  }

  /** A column without any value holds text. */
  get all(): readonly ColumnType[] {
    return this.types.map((type) => type ?? "text");
  }

  see(fields: readonly string[]): void {
    fields.forEach((field, i) => {
      if (field === "" || this.types[i] === "text") return;
      this.types[i] = common(this.types[i], typeOf(field));
    });
  }
}

function typeOf(field: string): ColumnType {
  if (/^[+-]?\d+$/.test(field)) return Number.isSafeInteger(Number(field)) ? "integer" : "text";
  if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(field)) return "number";
  return /^(true|false)$/i.test(field) ? "boolean" : "text";
}

function common(a: ColumnType | undefined, b: ColumnType): ColumnType {
  if (a === undefined || a === b) return b;
  return a !== "boolean" && a !== "text" && b !== "boolean" && b !== "text" ? "number" : "text";
}

function typedRow(names: readonly string[], fields: readonly string[], types: readonly ColumnType[]): Row {
  return Object.fromEntries(names.map((name, i) => [name, typed(fields[i]!, types[i]!)] as const));
}

function typed(field: string, type: ColumnType): unknown {
  if (field === "") return null;
  if (type === "text") return field;
  return type === "boolean" ? /^true$/i.test(field) : Number(field);
}
