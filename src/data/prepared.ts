/** @file One pass that turns raw rows into rows for training, reports what it found and keeps the results. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { CraftError } from "../errors.js";
import { Dataset } from "./dataset.js";
import { IterableDataset } from "./iterable.js";
import { requireRows } from "./loader.js";

/** What may be remarkable about a row. */
export type NoteKind = "truncated" | DropKind | "prompt_not_prefix" | "label_on_padding";

/** Why a row is left out. */
export type DropKind = "dropped_empty" | "dropped_unsupervised" | "dropped_equal" | "dropped_long";

/** A remark, with how many rows it holds for. */
export interface PreparationNote {
  readonly kind: NoteKind;
  readonly count: number;
  /** The name of the first such row. */
  readonly first: string;
}

export interface PreparationReport {
  readonly rows: number;
  /** Rows that are left. */
  readonly kept: number;
  /** Tokens in them. */
  readonly tokens: number;
  readonly notes: readonly PreparationNote[];
}

/** A dataset that is ready for a loader. */
export interface Prepared<R> {
  readonly dataset: Dataset<R>;
  /** The number of tokens in each row. */
  readonly lengths: Int32Array;
  readonly report: PreparationReport;
}

export interface PreparationOptions {
  /**
   * What a row that nothing can be learnt from does, such as one without a token, or without a token to predict: "error" (default) stops with the name of the row,
   * "drop" leaves it out and counts it in the report.
   */
  readonly onBadRow?: "error" | "drop";
  /**
   * Tokens that are kept in memory (8 bytes each). Rows beyond are prepared again whenever they are read.
   * Default 2^26, half a GiB.
   */
  readonly cacheTokens?: number;
  /** Told now and then how many rows are done. */
  readonly onProgress?: (done: number, rows: number) => void;
}

/** Collects remarks about rows, and refuses or leaves out bad ones. */
export class PreparationNotes {
  private readonly onBadRow: "error" | "drop";
  private readonly notes = new Map<NoteKind, { count: number; first: string }>();

  constructor(onBadRow: "error" | "drop" = "error") {
    this.onBadRow = onBadRow;
  }

  add(kind: NoteKind, where: string): void {
    const note = this.notes.get(kind);
    if (note === undefined) this.notes.set(kind, { count: 1, first: where });
    else note.count += 1;
  }

  /** A row that cannot be trained on. @returns undefined, for the row that is left out. */
  bad(kind: DropKind, where: string, reason: string): undefined {
    if (this.onBadRow === "drop") return void this.add(kind, where);
    throw new CraftError({
      subject: where,
      reason,
      remedy: 'Mend or remove the row, or set onBadRow to "drop"',
    });
  }

  list(): PreparationNote[] {
    return [...this.notes].map(([kind, note]) => ({ kind, ...note }));
  }
}

/** Turns one row into a row for training, or undefined to leave it out. */
export type Prepare<R> = (row: object, where: string, notes: PreparationNotes) => R | undefined;

/** What {@link prepareDataset} asks about a prepared row. */
export interface RowMeasures<R> {
  /** The number of tokens in a row. */
  readonly size: (row: R) => number;
  /** Told each row that stays, in order, once. */
  readonly onKept?: (row: R) => void;
}

/** Prepares all rows once. Errors come up here, before training, and not when a row's turn comes. */
export async function prepareDataset<R>(
  raw: Dataset<object>,
  prepare: Prepare<R>,
  options: PreparationOptions & RowMeasures<R>,
): Promise<Prepared<R>> {
  const { onBadRow, cacheTokens = 2 ** 26, onProgress, size, onKept } = options;
  requireRows(raw);
  const notes = new PreparationNotes(onBadRow);
  const kept: number[] = [];
  const lengths: number[] = [];
  const cache: (R | undefined)[] = [];
  let tokens = 0;
  let breath = performance.now();
  for (let i = 0; i < raw.length; i++) {
    const row = prepare(await raw.row(i), raw.where(i), notes);
    if (row !== undefined) {
      const length = size(row);
      tokens += length;
      kept.push(i);
      lengths.push(length);
      onKept?.(row);
      cache.push(tokens <= cacheTokens ? row : undefined);
    }
    if (performance.now() - breath < 50) continue;
    onProgress?.(i + 1, raw.length);
    await nextTurn();
    breath = performance.now();
  }
  onProgress?.(raw.length, raw.length);
  if (kept.length === 0)
    throw new CraftError({ subject: raw.name, reason: `none of its ${raw.length} rows is left` });
  const dataset = new Dataset<R>({
    name: raw.name,
    length: kept.length,
    where: (index) => raw.where(kept[index]!),
    read: async (index) => cache[index] ?? again(raw, kept[index]!, prepare),
    close: () => raw.close(),
  });
  const report = { rows: raw.length, kept: kept.length, tokens, notes: notes.list() };
  return { dataset, lengths: Int32Array.from(lengths), report };
}

/** Prepares rows as they come. The notes fill while the stream is read. */
export function prepareStream<R>(
  raw: IterableDataset<object>,
  prepare: Prepare<R>,
  options: Pick<PreparationOptions, "onBadRow"> = {},
): { readonly dataset: IterableDataset<R>; readonly notes: PreparationNotes } {
  const notes = new PreparationNotes(options.onBadRow);
  const dataset = IterableDataset.fromGenerator(
    async function* (epoch) {
      for await (const { row, where } of raw.entries(epoch)) {
        const prepared = prepare(row, where, notes);
        if (prepared !== undefined) yield prepared;
      }
    },
    { name: raw.name },
  );
  return { dataset, notes };
}

/** The notes of a report as sentences for a log. */
export function describeNotes(notes: readonly PreparationNote[]): string[] {
  const what: Record<NoteKind, string> = {
    truncated: "longer than the maximum length and cut",
    dropped_empty: "left out for having no text",
    dropped_unsupervised: "left out for having no token to predict",
    dropped_equal: "left out for having two equal answers",
    dropped_long: "left out for being longer than the maximum length",
    prompt_not_prefix:
      "such that prompt and completion together begin with other tokens than the prompt alone",
    label_on_padding: "with labels where attention_mask is 0, which were ignored",
  };
  return notes.map(({ kind, count, first }) => {
    return `${count} ${count === 1 ? "row was" : "rows were"} ${what[kind]} (first: ${first})`;
  });
}

async function again<R>(raw: Dataset<object>, index: number, prepare: Prepare<R>): Promise<R> {
  const where = raw.where(index);
  const row = prepare(await raw.row(index), where, new PreparationNotes());
  if (row === undefined)
    throw new CraftError({ subject: where, reason: "the row has changed since it was prepared" });
  return row;
}
