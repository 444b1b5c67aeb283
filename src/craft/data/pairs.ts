/** @file Pairs of texts, or of tokens, made ready for {@link CRAFTCollator}. */
import type { Dataset } from "../../data/dataset.js";
import { refuseUnknown, requireOneOf } from "../../data/options.js";
import {
  prepareDataset,
  type PreparationNotes,
  type PreparationOptions,
  type Prepared,
} from "../../data/prepared.js";
import { textColumn } from "../../data/sft_format.js";
import type { RowTokenizer } from "../../data/row_tokenizer.js";
import { column, integerColumn, missingColumn, type TokenIds } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import { defaultContrastiveKeys, type ContrastiveKeys } from "./collator.js";
import { textHash } from "./text_hash.js";

/** A pair for {@link CRAFTCollator.collatePairs}. Every token counts, so there are no masks. */
export interface PreparedPair {
  readonly input_ids: Int32Array;
  readonly input_ids_tgt: Int32Array;
}

export interface PairOptions extends PreparationOptions {
  /** The columns of text, `anchor` and `positive` unless named. Rows are then read as text even if they have tokens. */
  readonly columns?: { readonly anchor: string; readonly positive: string };
  /** The columns of rows that are tokenised. */
  readonly keys?: Partial<ContrastiveKeys>;
  /** Each side is cut to as many tokens; a text's end token stays. By default sides are not cut. */
  readonly maxLength?: number;
  /** End each text with the end token, which is then what last-token pooling reads. Default true. */
  readonly appendEos?: boolean;
}

export interface PreparedPairs extends Prepared<PreparedPair> {
  /** One number for each pair, the same for pairs with the same positive side. */
  readonly groups: Int32Array;
}

/** One side of a pair, and whether it was cut. */
interface Side {
  readonly ids: Int32Array;
  readonly cut: boolean;
}

const optionNames = [
  "columns",
  "keys",
  "maxLength",
  "appendEos",
  "onBadRow",
  "cacheTokens",
  "onProgress",
] as const;

/**
 * Makes pairs ready: rows that have token columns (`input_ids`, `input_ids_tgt`) lose what their masks leave out, rows of
 * text are tokenised with special tokens. `lengths` holds the longer side's.
 *
 * @throws {@link CraftError} naming file, row and columns for missing columns and empty sides.
 *
 * @example
 * const pairs = await preparePairs(raw, tokenizer, { columns: { anchor: "en", positive: "es" }, maxLength: 128 });
 */
export async function preparePairs(
  raw: Dataset<object>,
  tokenizer: RowTokenizer | undefined,
  options: PairOptions = {},
): Promise<PreparedPairs> {
  checkOptions(options);
  const groups: number[] = [];
  const prepared = await prepareDataset(raw, pairPreparer(tokenizer, options), {
    ...options,
    size: (pair) => Math.max(pair.input_ids.length, pair.input_ids_tgt.length),
    onKept: (pair) => groups.push(textHash(pair.input_ids_tgt)),
  });
  return { ...prepared, groups: Int32Array.from(groups) };
}

function pairPreparer(tokenizer: RowTokenizer | undefined, options: PairOptions) {
  const keys = { ...defaultContrastiveKeys, ...options.keys };
  const { anchor, positive } = options.columns ?? { anchor: "anchor", positive: "positive" };
  return (row: object, where: string, notes: PreparationNotes): PreparedPair | undefined => {
    const has = (name: string) => column(row, name) !== undefined && column(row, name) !== null;
    const text =
      options.columns !== undefined || (!has(keys.anchorInputIds) && (has(anchor) || has(positive)));
    const names = text ? [anchor, positive] : [keys.anchorInputIds, keys.positiveInputIds];
    const masks = [keys.anchorAttentionMask, keys.positiveAttentionMask];
    const missing = names.filter((name) => !has(name));
    if (missing.length > 0) throw missingColumn(row, missing, where, remedy(options));
    const sides = names.map((name, side) =>
      text
        ? textSide(row, name, where, tokenizer, options)
        : tokenSide(row, name, masks[side]!, where, options),
    );
    const empty = names.filter((_, side) => sides[side] === undefined);
    const [first, second] = sides;
    if (first === undefined || second === undefined) {
      return notes.bad("dropped_empty", where, `the pair has an empty side: column ${empty.join(", ")}`);
    }
    if (first.cut || second.cut) notes.add("truncated", where);
    return { input_ids: first.ids, input_ids_tgt: second.ids };
  };
}

/** A side that is tokenised; undefined if it has no token. */
function tokenSide(
  row: object,
  name: string,
  maskName: string,
  where: string,
  { maxLength = Infinity }: PairOptions,
): Side | undefined {
  const ids = Int32Array.from(integerColumn(row, name, where) ?? []);
  const mask = integerColumn(row, maskName, where, { length: ids.length });
  const real = mask === undefined ? ids : ids.filter((_, place) => mask[place] === 1);
  if (real.length === 0) return undefined;
  return { ids: real.slice(0, maxLength), cut: real.length > maxLength };
}

/** A side that is text; undefined if the text is empty. */
function textSide(
  row: object,
  name: string,
  where: string,
  tokenizer: RowTokenizer | undefined,
  { maxLength = Infinity, appendEos = true }: PairOptions,
): Side | undefined {
  const text = textColumn(row, name, where);
  if (text === "") return undefined;
  if (tokenizer === undefined) {
    throw new CraftError({
      subject: where,
      reason: "the pair is text and there is no tokenizer",
      remedy: "Give one",
    });
  }
  const ids: TokenIds = tokenizer.encode(text);
  const end = appendEos && ids[ids.length - 1] !== tokenizer.eosTokenId ? tokenizer.eosTokenId : undefined;
  const room = end === undefined ? maxLength : maxLength - 1;
  const kept = Array.from({ length: Math.min(ids.length, room) }, (_, place) => ids[place]!);
  return { ids: Int32Array.from(end === undefined ? kept : [...kept, end]), cut: ids.length > room };
}

function remedy({ columns }: PairOptions): string {
  if (columns !== undefined) return "Name the columns that hold the two texts";
  return "Name the columns that hold the two texts, or give tokens in the columns input_ids and input_ids_tgt";
}

function checkOptions(options: PairOptions): void {
  refuseUnknown("contrastive pairs", options, optionNames);
  refuseUnknown("contrastive pairs, option keys", options.keys ?? {}, Object.keys(defaultContrastiveKeys));
  const { columns, maxLength, onBadRow = "error" } = options;
  refuseUnknown("contrastive pairs, option columns", columns ?? {}, ["anchor", "positive"]);
  requireOneOf("onBadRow", onBadRow, ["error", "drop"]);
  if (
    columns !== undefined &&
    (!columns.anchor || !columns.positive || columns.anchor === columns.positive)
  ) {
    throw new CraftError({
      subject: "contrastive columns",
      value: columns,
      reason: "must name two different columns, anchor and positive",
    });
  }
  if (maxLength === undefined || (Number.isSafeInteger(maxLength) && maxLength >= 2)) return;
  throw new CraftError({
    subject: "maxLength",
    value: maxLength,
    reason: "must be an integer of at least 2",
  });
}
