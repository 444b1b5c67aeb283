/** @file Prompts with completions as what a model is fed. */
import { bucketSize } from "../../data/buckets.js";
import { HostTensor } from "../../tensor/index.js";
import type { Feeds } from "../../training/objective.js";
import type { Completed, CompletionRow } from "./buffer.js";

export interface CompletionFeedsOptions {
  readonly padTokenId: number;
  readonly padToMultipleOf?: number | undefined;
}

/** Feeds, and the tokens of completions that they are about. */
export interface CompletionFeeds {
  /**
   * inputIds [rows, length]; of the tokens of completions, one row after the other, [n]: positions, where each is
   * predicted from; labels, the tokens; mask, 1 or 0 for filling; rows, which completion it is of.
   */
  readonly feeds: Feeds;
  /** Of each row, where its tokens stand among the n: first, and how many. */
  readonly spans: readonly { readonly from: number; readonly length: number }[];
  readonly size: number;
}

/**
 * Rows with the prompt first, padded on the right, where nothing looks at it.
 *
 * @param counts whether the tokens of a row are wanted; those of all by default
 */
export function completionFeeds<Row extends Completed>(
  rows: readonly Row[],
  { padTokenId, padToMultipleOf }: CompletionFeedsOptions,
  counts: (row: Row) => boolean = () => true,
): CompletionFeeds {
  const longest = Math.max(...rows.map(({ promptIds, ids }) => promptIds.length + ids.length));
  const length = bucketSize(longest, padToMultipleOf === undefined ? {} : { padToMultipleOf });
  const inputIds = new Int32Array(rows.length * length).fill(padTokenId);
  const places: number[] = [];
  const labels: number[] = [];
  const owners: number[] = [];
  const spans = rows.map((row, i) => {
    const { promptIds, ids } = row;
    inputIds.set(promptIds, i * length);
    inputIds.set(ids, i * length + promptIds.length);
    const from = places.length;
    if (!counts(row)) return { from, length: 0 };
    ids.forEach((id, t) => {
      places.push(i * length + promptIds.length + t - 1);
      labels.push(id);
      owners.push(i);
    });
    return { from, length: ids.length };
  });
  const size = bucketSize(places.length);
  const int64 = (values: readonly number[]): HostTensor =>
    new HostTensor(filled(values, size), [size], "int64");
  return {
    feeds: {
      inputIds: new HostTensor(inputIds, [rows.length, length], "int64"),
      positions: int64(places),
      labels: int64(labels),
      rows: int64(owners),
      mask: floats(new Array<number>(places.length).fill(1), size),
    },
    spans,
    size,
  };
}

/** Numbers of the tokens of rows, as a feed float32 [size] with 0 for filling. */
export function tokenNumbers(
  rows: readonly CompletionRow[],
  { spans, size }: CompletionFeeds,
  pick: (row: CompletionRow) => readonly number[] | number,
): HostTensor {
  const values: number[] = [];
  rows.forEach((row, i) => {
    const picked = pick(row);
    const { length } = spans[i]!;
    if (length === 0) return;
    if (typeof picked === "number") values.push(...new Array<number>(length).fill(picked));
    else values.push(...picked);
  });
  return floats(values, size);
}

/** Numbers of all tokens, apart for each row. */
export const splitTokens = (
  { spans }: Pick<CompletionFeeds, "spans">,
  values: readonly number[],
): number[][] => spans.map(({ from, length }) => values.slice(from, from + length));

const floats = (values: readonly number[], size: number): HostTensor =>
  new HostTensor(filled(values, size), [size], "float32");

function filled(values: readonly number[], size: number): number[] {
  return [...values, ...new Array<number>(size - values.length).fill(0)];
}
