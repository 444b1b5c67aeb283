/** @file Which rows a trainer's batches hold. */
import { CRAFTCollator } from "../../../src/craft/index.js";
import type { TokenPair, TokenRow } from "../training/tiny.js";
import type { Side } from "./trainer_reference.js";

export type Kind = "sft" | "contrastive" | "self_align";
export interface Seen {
  readonly kind: Kind;
  readonly rows: readonly object[];
}

/** A collator that notes the rows of each batch. */
export function watched(seen: Seen[]): CRAFTCollator {
  const collator = new CRAFTCollator();
  const { collateSft, collatePairs, collateSelfAlign } = collator;
  let inside = false;
  const noting =
    <Batch>(kind: Kind, collate: (rows: readonly object[], where?: readonly string[]) => Batch) =>
    (rows: readonly object[], where?: readonly string[]): Batch => {
      // Rows that are their own pairs are collated as SFT rows first.
      if (!inside) seen.push({ kind, rows });
      inside = true;
      const batch = collate(rows, where);
      inside = false;
      return batch;
    };
  return Object.assign(collator, {
    collateSft: noting("sft", collateSft),
    collatePairs: noting("contrastive", collatePairs),
    collateSelfAlign: noting("self_align", collateSelfAlign),
  });
}

export const plainRow = (row: object): TokenRow => {
  const { input_ids, labels } = row as TokenRow;
  return { input_ids: [...input_ids], labels: [...labels] };
};
export const last = (ids: ArrayLike<number>): Side => ({ ids: Array.from(ids), place: ids.length - 1 });

/** The two sides of what a contrastive batch holds. */
export function sides({ kind, rows }: Seen): (readonly [Side, Side])[] {
  if (kind === "contrastive") {
    return rows.map((row) => {
      const { input_ids: anchor, input_ids_tgt: positive } = row as TokenPair;
      return [last(anchor), last(positive)];
    });
  }
  // The prompt ends before the first label.
  return rows.map(plainRow).map(({ input_ids: ids, labels }) => {
    const first = labels.findIndex((label) => label !== -100);
    return [{ ids, place: first - 1 }, last(ids)];
  });
}
