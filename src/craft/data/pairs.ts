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
import { defaultContrastiveKeys, sidesOf, type ContrastiveKeys } from "./keys.js";
import { tokenLists } from "./sides.js";
import { textHash } from "./text_hash.js";

/** A pair for {@link CRAFTCollator.collatePairs}. Every token counts, so there are no masks. */
export interface PreparedPair {
  readonly input_ids: Int32Array;
  readonly input_ids_tgt: Int32Array;
  /** Hard negatives; absent where there is none. */
  readonly input_ids_neg?: readonly Int32Array[];
}

/** The columns that hold the texts of a pair. */
export interface ContrastiveColumns {
  readonly anchor: string;
  readonly positive: string;
  /** Columns of hard negatives: each a text, or a list of texts. A row may lack them. */
  readonly negatives?: readonly string[] | undefined;
}

export interface PairOptions extends PreparationOptions {
  /** The columns of text, `anchor` and `positive` unless named. Rows are then read as text even if they have tokens. */
  readonly columns?: ContrastiveColumns;
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
  /** Hard negatives of the pair that has fewest, and of the one that has most. */
  readonly negatives: { readonly fewest: number; readonly most: number };
}

/** One text of a pair, and whether it was cut. */
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
 * Makes pairs ready: rows that have token columns (`input_ids`, `input_ids_tgt`, perhaps `input_ids_neg`) lose what
 * their masks leave out, rows of text are tokenised with special tokens. `lengths` holds the longest text's of each.
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
  let [fewest, most] = [Infinity, 0];
  const prepared = await prepareDataset(raw, pairPreparer(tokenizer, options), {
    ...options,
    size: ({ input_ids: anchor, input_ids_tgt: positive, input_ids_neg: negatives = [] }) =>
      Math.max(...[anchor, positive, ...negatives].map((ids) => ids.length)),
    onKept: ({ input_ids_tgt: positive, input_ids_neg: negatives = [] }) => {
      groups.push(textHash(positive));
      fewest = Math.min(fewest, negatives.length);
      most = Math.max(most, negatives.length);
    },
  });
  const named = options.columns?.negatives ?? [];
  if (named.length > 0 && most === 0)
    throw new CraftError({
      subject: raw.name,
      reason: `no row has a text in ${named.join(", ")}, which are to hold hard negatives`,
      remedy: "Name columns that there are, or leave negatives out",
    });
  return { ...prepared, groups: Int32Array.from(groups), negatives: { fewest, most } };
}

function pairPreparer(tokenizer: RowTokenizer | undefined, options: PairOptions) {
  const keys = sidesOf({ ...defaultContrastiveKeys, ...options.keys });
  const { anchor, positive, negatives = [] } = options.columns ?? { anchor: "anchor", positive: "positive" };
  return (row: object, where: string, notes: PreparationNotes): PreparedPair | undefined => {
    const has = (name: string) => column(row, name) !== undefined && column(row, name) !== null;
    const text = options.columns !== undefined || (!has(keys.anchor.ids) && (has(anchor) || has(positive)));
    const names = text ? [anchor, positive] : [keys.anchor.ids, keys.positive.ids];
    const missing = names.filter((name) => !has(name));
    if (missing.length > 0) throw missingColumn(row, missing, where, remedy(options));
    const sides = text
      ? names.map((name) => textSide(textColumn(row, name, where), where, tokenizer, options))
      : [keys.anchor, keys.positive].map(({ ids, mask }) => tokenSide(row, ids, mask, where, options));
    const empty = names.filter((_, side) => sides[side] === undefined);
    const [first, second] = sides;
    if (first === undefined || second === undefined) {
      return notes.bad("dropped_empty", where, `the pair has an empty side: column ${empty.join(", ")}`);
    }
    const hard = text
      ? negatives
          .flatMap((name) => texts(row, name, where))
          .map((one) => textSide(one, where, tokenizer, options))
      : tokenLists(row, keys.negative, where).map((list) =>
          tokenSide({ list: list.ids, mask: list.mask }, "list", "mask", list.where, options),
        );
    const others = hard.filter((side) => side !== undefined);
    if (others.length < hard.length) return notes.bad("dropped_empty", where, "a hard negative is empty");
    if ([first, second, ...others].some(({ cut }) => cut)) notes.add("truncated", where);
    return {
      input_ids: first.ids,
      input_ids_tgt: second.ids,
      ...(others.length > 0 && { input_ids_neg: others.map(({ ids }) => ids) }),
    };
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
  text: string,
  where: string,
  tokenizer: RowTokenizer | undefined,
  { maxLength = Infinity, appendEos = true }: PairOptions,
): Side | undefined {
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

/** The texts of a column that holds one or a list of them; none where the row has null there or lacks the column. */
function texts(row: object, name: string, where: string): string[] {
  const value = column(row, name) ?? undefined;
  if (value === undefined) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((item) => {
    if (typeof item === "string") return item;
    throw new CraftError({
      subject: `${where}, column ${name}`,
      value: item,
      reason: "must be text, or a list of texts",
    });
  });
}

function remedy({ columns }: PairOptions): string {
  if (columns !== undefined) return "Name the columns that hold the two texts";
  return "Name the columns that hold the two texts, or give tokens in the columns input_ids and input_ids_tgt";
}

function checkOptions(options: PairOptions): void {
  refuseUnknown("contrastive pairs", options, optionNames);
  refuseUnknown("contrastive pairs, option keys", options.keys ?? {}, Object.keys(defaultContrastiveKeys));
  const { columns, maxLength, onBadRow = "error" } = options;
  refuseUnknown("contrastive pairs, option columns", columns ?? {}, ["anchor", "positive", "negatives"]);
  requireOneOf("onBadRow", onBadRow, ["error", "drop"]);
  if (columns !== undefined) {
    const names = [columns.anchor, columns.positive, ...(columns.negatives ?? [])];
    if (names.some((name) => !name) || new Set(names).size < names.length)
      throw new CraftError({
        subject: "contrastive columns",
        value: columns,
        reason: "must name two different columns, anchor and positive, and others for negatives",
      });
  }
  if (maxLength === undefined || (Number.isSafeInteger(maxLength) && maxLength >= 2)) return;
  throw new CraftError({
    subject: "maxLength",
    value: maxLength,
    reason: "must be an integer of at least 2",
  });
}
