/** @file Several rows in one: which rows share it, and a dataset of such rows. */
import { CraftError } from "../errors.js";
import { Dataset } from "./dataset.js";
import type { Prepared } from "./prepared.js";
import type { PreparedRow } from "./tokenised_rows.js";
import { ignoredLabel } from "./tokens.js";

/**
 * - "bfd": each row whole, cut to the length first, where it leaves the least room (best fit, longest rows first).
 * - "bfd_split": the same, but what is too long is split, and no token is lost.
 * - "wrapped": rows one after the other, cut wherever a packed row is full.
 */
export const packingStrategies = ["bfd", "bfd_split", "wrapped"] as const;
export type PackingStrategy = (typeof packingStrategies)[number];

/** Tokens `from` to `to` of row `row`. */
export interface Piece {
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

/** Rows that are packed together, as in TRL: a packed row holds none from further apart. */
const groupSize = 1000;

/**
 * Which rows, or pieces of them, make up each packed row. As TRL's `pack_dataset`, so that the same rows share one.
 *
 * @param lengths tokens in each row
 * @param maxLength of a packed row
 */
export function planPacking(
  lengths: ArrayLike<number>,
  maxLength: number,
  strategy: PackingStrategy,
): Piece[][] {
  if (!Number.isSafeInteger(maxLength) || maxLength < 1)
    throw new CraftError({
      subject: "maxLength",
      value: maxLength,
      reason: "must be an integer of at least 1",
    });
  const packed: Piece[][] = [];
  for (let start = 0; start < lengths.length; start += groupSize) {
    const rows: Piece[] = [];
    for (let row = start; row < Math.min(start + groupSize, lengths.length); row++)
      if (lengths[row]! > 0) rows.push({ row, from: 0, to: lengths[row]! });
    if (strategy === "wrapped") packed.push(...wrap(rows, maxLength));
    else {
      const cut = ({ row, to }: Piece): Piece[] => [{ row, from: 0, to: Math.min(to, maxLength) }];
      const split = (piece: Piece): Piece[] => wrap([piece], maxLength).flat();
      packed.push(...bestFit(rows.flatMap(strategy === "bfd" ? cut : split), maxLength));
    }
  }
  return packed;
}

const sizeOf = ({ from, to }: Piece): number => to - from;

/** Pieces one after the other, cut wherever `maxLength` is reached. */
function wrap(pieces: readonly Piece[], maxLength: number): Piece[][] {
  const packed: Piece[][] = [];
  let room = 0;
  for (const { row, from, to } of pieces) {
    for (let at = from; at < to;) {
      if (room === 0) {
        packed.push([]);
        room = maxLength;
      }
      const end = Math.min(to, at + room);
      packed.at(-1)!.push({ row, from: at, to: end });
      room -= end - at;
      at = end;
    }
  }
  return packed;
}

/** The longest piece first, each into the packed row with the least room that is enough; the one waiting longest. */
function bestFit(pieces: readonly Piece[], maxLength: number): Piece[][] {
  const packed: Piece[][] = [];
  /** Packed rows by the room that is left in them. */
  const withRoom = new Map<number, Piece[][]>();
  /** The keys of `withRoom`, rising. */
  const rooms: number[] = [];
  for (const piece of [...pieces].sort((a, b) => sizeOf(b) - sizeOf(a))) {
    const size = sizeOf(piece);
    const place = firstAtLeast(rooms, size);
    const room = rooms[place] ?? maxLength;
    let chosen = withRoom.get(room)?.shift();
    if (chosen === undefined) packed.push((chosen = []));
    else if (withRoom.get(room)!.length === 0) {
      withRoom.delete(room);
      rooms.splice(place, 1);
    }
    chosen.push(piece);
    const left = room - size;
    if (left === 0) continue;
    const waiting = withRoom.get(left);
    if (waiting !== undefined) waiting.push(chosen);
    else {
      withRoom.set(left, [chosen]);
      rooms.splice(firstAtLeast(rooms, left), 0, left);
    }
  }
  return packed;
}

/** The first place in a rising list whose number is at least `least`. */
function firstAtLeast(sorted: readonly number[], least: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A dataset of packed rows, and how it came about. */
export interface Packed extends Prepared<PreparedRow> {
  /** Packed rows that were left out since no token in them is to be predicted. */
  readonly unsupervised: number;
}

/**
 * Packs prepared rows. Each packed row says in `seq_lengths` how long its documents are; positions, attention and
 * labels keep to them. Rows are read when a packed row is asked for.
 */
export async function packDataset(
  prepared: Prepared<PreparedRow>,
  options: { readonly maxLength: number; readonly strategy: PackingStrategy },
): Promise<Packed> {
  const { dataset, lengths, report } = prepared;
  const { maxLength, strategy } = options;
  const planned = planPacking(lengths, maxLength, strategy);
  // A whole row has a token to predict, or it would not have been kept; a piece of one may have none.
  const whole = strategy === "bfd" && lengths.every((length) => length <= maxLength);
  const kept = whole ? planned : await supervisedOnly(dataset, planned);
  if (kept.length === 0) {
    throw new CraftError({
      subject: dataset.name,
      reason: `no packed row has a token to predict once its rows are cut to maxLength = ${maxLength}`,
      remedy: "Raise it",
    });
  }
  const sizes = kept.map((pieces) => pieces.reduce((sum, piece) => sum + sizeOf(piece), 0));
  const packed = new Dataset<PreparedRow>({
    name: dataset.name,
    length: kept.length,
    where: (index) => {
      const [first, ...others] = kept[index]!;
      const more = others.length === 0 ? "" : ` and ${others.length} more`;
      return `${dataset.where(first!.row)}${more}`;
    },
    read: async (index) => join(dataset, kept[index]!),
    close: () => dataset.close(),
  });
  return {
    dataset: packed,
    lengths: Int32Array.from(sizes),
    report: { ...report, tokens: sizes.reduce((a, b) => a + b, 0) },
    unsupervised: planned.length - kept.length,
  };
}

async function supervisedOnly(
  dataset: Dataset<PreparedRow>,
  planned: readonly Piece[][],
): Promise<Piece[][]> {
  const kept: Piece[][] = [];
  for (const pieces of planned) {
    let supervised = false;
    for (const { row, from, to } of pieces) {
      if (supervised) break;
      const { labels } = await dataset.row(row);
      supervised = labels.subarray(from + 1, to).some((label) => label !== ignoredLabel);
    }
    if (supervised) kept.push(pieces);
  }
  return kept;
}

async function join(dataset: Dataset<PreparedRow>, pieces: readonly Piece[]): Promise<PreparedRow> {
  const rows = await dataset.rows(pieces.map(({ row }) => row));
  const total = pieces.reduce((sum, piece) => sum + sizeOf(piece), 0);
  const joined = (column: (row: PreparedRow) => Int32Array): Int32Array => {
    const all = new Int32Array(total);
    let at = 0;
    pieces.forEach((piece, i) => {
      all.set(column(rows[i]!).subarray(piece.from, piece.to), at);
      at += sizeOf(piece);
    });
    return all;
  };
  const masked = rows.some((row) => row.attention_mask !== undefined);
  return {
    input_ids: joined((row) => row.input_ids),
    labels: joined((row) => row.labels),
    seq_lengths: Int32Array.from(pieces, sizeOf),
    ...(masked && {
      attention_mask: joined((row) => row.attention_mask ?? new Int32Array(row.input_ids.length).fill(1)),
    }),
  };
}
