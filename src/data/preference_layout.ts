/** @file Where the texts of pairs stand in a batch: each by itself, or with the prompt that two share once. */
import { bucketSize } from "./buckets.js";
import type { PaddingOptions } from "./padding.js";
import type { PreferenceRow } from "./preference_rows.js";

/** A stretch of tokens in a row. */
interface Segment {
  readonly ids: Int32Array;
  /** The pair, where a row holds several. */
  readonly document: number;
  /** 0 for what both answers see, else the number of the answer. */
  readonly branch: number;
  /** Position of its first token. */
  readonly first: number;
}

/** Tokens of pairs, laid out as [rows, length]. */
export interface PreferenceLayout {
  readonly inputIds: Int32Array;
  readonly shape: readonly [rows: number, length: number];
  /** Present where positions are not 0, 1, 2 … */
  readonly positionIds?: Int32Array;
  /** The pair that each position belongs to, -1 at padding; present where a row holds several. */
  readonly documents?: Int32Array;
  /** 0 for prompts, 1 for chosen answers, 2 for rejected ones; present where prompts are shared. */
  readonly branches?: Int32Array;
  /** Where the parts of each pair begin, as places in the flattened batch. */
  readonly places: readonly PairPlaces[];
  /** Tokens without padding. */
  readonly tokens: number;
}

export interface PairPlaces {
  readonly prompt: number;
  readonly chosen: number;
  readonly rejected: number;
  /** Where the prompt of the rejected answer stands; that of the chosen one where it is shared. */
  readonly rejectedPrompt: number;
}

export interface LayoutOptions extends Pick<PaddingOptions, "padTokenId" | "padToMultipleOf"> {
  /** One row for each pair, in which both answers follow one prompt. */
  readonly shared: boolean;
  /** Lay all rows into one. */
  readonly paddingFree: boolean;
}

/** Lays pairs out; all chosen texts come before all rejected ones where they stand by themselves. */
export function layOut(rows: readonly PreferenceRow[], options: LayoutOptions): PreferenceLayout {
  const { shared, paddingFree, padTokenId = 0, padToMultipleOf } = options;
  const texts = shared ? rows.map(pairTogether) : textsApart(rows);
  const lines = paddingFree ? [texts.flat()] : texts;
  const lengths = lines.map((line) => line.reduce((sum, { ids }) => sum + ids.length, 0));
  const length = bucketSize(Math.max(...lengths), padToMultipleOf === undefined ? {} : { padToMultipleOf });
  const size = lines.length * length;
  const inputIds = new Int32Array(size).fill(padTokenId);
  const positionIds = new Int32Array(size);
  const documents = new Int32Array(size).fill(-1);
  const branches = new Int32Array(size);
  const starts = new Map<Int32Array, number[]>();
  lines.forEach((line, i) => {
    let at = i * length;
    for (const { ids, document, branch, first } of line) {
      const known = starts.get(ids);
      if (known === undefined) starts.set(ids, [at]);
      else known.push(at);
      inputIds.set(ids, at);
      documents.fill(document, at, at + ids.length);
      branches.fill(branch, at, at + ids.length);
      for (let j = 0; j < ids.length; j++) positionIds[at++] = first + j;
    }
    // Padding stands behind all texts, where none of them looks.
    for (let j = 0; at < (i + 1) * length; j++) positionIds[at++] = j;
  });
  const places = rows.map(({ prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected }) => {
    const next = (ids: Int32Array): number => starts.get(ids)!.shift()!;
    const first = next(prompt);
    return {
      prompt: first,
      chosen: next(chosen),
      rejected: next(rejected),
      rejectedPrompt: shared ? first : next(prompt),
    };
  });
  return {
    inputIds,
    shape: [lines.length, length],
    ...((shared || paddingFree) && { positionIds }),
    ...(paddingFree && { documents }),
    ...(shared && { branches }),
    places,
    tokens: lengths.reduce((a, b) => a + b, 0),
  };
}

function pairTogether(row: PreferenceRow, document: number): Segment[] {
  const { prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected } = row;
  return [
    { ids: prompt, document, branch: 0, first: 0 },
    { ids: chosen, document, branch: 1, first: prompt.length },
    { ids: rejected, document, branch: 2, first: prompt.length },
  ];
}

function textsApart(rows: readonly PreferenceRow[]): Segment[][] {
  const text = (prompt: Int32Array, answer: Int32Array, document: number): Segment[] => [
    { ids: prompt, document, branch: 0, first: 0 },
    { ids: answer, document, branch: 0, first: prompt.length },
  ];
  return [
    ...rows.map((row, i) => text(row.prompt_ids, row.chosen_ids, i)),
    ...rows.map((row, i) => text(row.prompt_ids, row.rejected_ids, rows.length + i)),
  ];
}

/**
 * What a layout costs a decoder of a hidden size, in arbitrary units: products with weights grow with the tokens, attention
 * with the square of the rows' lengths.
 */
export const layoutCost = ({ shape: [rows, length] }: PreferenceLayout, hiddenSize: number): number =>
  rows * length * (6 * hiddenSize + length);
