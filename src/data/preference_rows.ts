/** @file Rows of preferences: a prompt, an answer that was chosen and one that was rejected, to tokens. */
import { CraftError } from "../errors.js";
import { maybeExtractPrompt } from "./formats.js";
import { refuseUnknown, requireOneOf } from "./options.js";
import {
  prepareDataset,
  type PreparationNotes,
  type PreparationOptions,
  type Prepare,
  type Prepared,
} from "./prepared.js";
import type { Dataset } from "./dataset.js";
import { encodeChat, type RowTokenizer } from "./row_tokenizer.js";
import { messagesColumn, textColumn } from "./sft_format.js";
import { column, integerColumn, missingColumn, type TokenIds } from "./tokens.js";

/** A pair of texts that begin with the same tokens. */
export interface PreferenceRow {
  readonly prompt_ids: Int32Array;
  readonly chosen_ids: Int32Array;
  readonly rejected_ids: Int32Array;
  /** By how much the chosen text's score should exceed the other's, where rows say so. */
  readonly margin?: number;
  /** Log-probabilities of the answers under the reference, where they are known. */
  readonly ref_chosen_logps?: number;
  readonly ref_rejected_logps?: number;
}

export interface PreferenceRowOptions extends PreparationOptions {
  /** Prompt and answer together are cut to as many tokens. By default they are not. */
  readonly maxLength?: number | undefined;
  /** What stays of a long row. "keep_end" cuts the prompt, by as much for both answers. Default "keep_start". */
  readonly truncationMode?: "keep_start" | "keep_end";
  /**
   * Tokenise each text whole, and take what both begin with as the prompt; nothing is cut then, and longer rows are bad
   * ones. Default false: the prompt's tokens are those that it has alone.
   */
  readonly whole?: boolean;
  /** Read the column `margin`. Default false. */
  readonly margins?: boolean;
}

const optionNames = [
  "maxLength",
  "truncationMode",
  "whole",
  "margins",
  "onBadRow",
  "cacheTokens",
  "onProgress",
] as const;

const tokenColumns = ["prompt_ids", "chosen_ids", "rejected_ids"] as const;

/** The three parts of a row. */
interface Parts {
  readonly prompt: TokenIds;
  readonly chosen: TokenIds;
  readonly rejected: TokenIds;
}

/**
 * Prepares rows of `prompt`, `chosen` and `rejected`, text or messages; without `prompt`, it is what both answers begin
 * with. Rows of `prompt_ids`, `chosen_ids` and `rejected_ids` are taken as they are.
 *
 * Answers of text get the end token if they do not end with it; conversations end as their template does. A prompt is
 * tokenised alone, and together with each answer, whose tokens are those behind as many as the prompt has.
 *
 * @throws {@link CraftError} naming file and row for a missing column, an empty answer, two equal answers, and a prompt that
 * leaves no room.
 */
export async function preparePreferences(
  raw: Dataset<object>,
  tokenizer: RowTokenizer | undefined,
  options: PreferenceRowOptions = {},
): Promise<Prepared<PreferenceRow>> {
  const prepare = preferencePreparer(tokenizer, options);
  return prepareDataset(raw, prepare, { ...options, size: preferenceTokens });
}

/** The tokens of both texts of a row, with the prompt counted once. */
export const preferenceTokens = (row: PreferenceRow): number =>
  row.prompt_ids.length + row.chosen_ids.length + row.rejected_ids.length;

/** What prepares one row after the other. */
export function preferencePreparer(
  tokenizer: RowTokenizer | undefined,
  options: PreferenceRowOptions = {},
): Prepare<PreferenceRow> {
  checkOptions(options);
  return (row, where, notes) => {
    const parts = partsOf(row, where, notes, tokenizer, options.whole === true);
    const cut = parts && fitted(parts, where, notes, options);
    return cut && { ...arrays(cut), ...numbersOf(row, where, options) };
  };
}

function partsOf(
  given: object,
  where: string,
  notes: PreparationNotes,
  tokenizer: RowTokenizer | undefined,
  whole: boolean,
): Parts | undefined {
  if (tokenColumns.some((name) => (column(given, name) ?? undefined) !== undefined))
    return tokenised(given, where, whole);
  const missing = ["chosen", "rejected"].filter((name) => (column(given, name) ?? undefined) === undefined);
  if (missing.length > 0)
    throw missingColumn(given, missing, where, "Rows need chosen and rejected, and prompt beside them");
  const row = maybeExtractPrompt(given, where);
  if (tokenizer === undefined)
    throw new CraftError({
      subject: where,
      reason: "the row is text and there is no tokenizer",
      remedy: "Give one",
    });
  const draft = draftOf(row, where, tokenizer);
  for (const side of ["chosen", "rejected"] as const)
    if (draft.empty(side))
      return notes.bad("dropped_unsupervised", where, `column ${side} is empty: there is no answer to learn`);
  const [chosen, rejected] = [draft.encode("chosen"), draft.encode("rejected")];
  if (whole) return common(chosen, rejected);
  const prompt = draft.encode("prompt");
  const starts = (ids: TokenIds): boolean => Array.prototype.every.call(prompt, (id, at) => ids[at] === id);
  if (!starts(chosen) || !starts(rejected)) notes.add("prompt_not_prefix", where);
  const rest = (ids: TokenIds): TokenIds => Array.prototype.slice.call(ids, prompt.length) as number[];
  return { prompt, chosen: rest(chosen), rejected: rest(rejected) };
}

/** A row of texts or messages, ready to be tokenised; answers with their prompt before them. */
function draftOf(
  row: object,
  where: string,
  tokenizer: RowTokenizer,
): { empty(side: string): boolean; encode(part: "prompt" | "chosen" | "rejected"): TokenIds } {
  const messages = messagesColumn(row, "prompt", where);
  if (messages === undefined) {
    const text = (name: string): string => textColumn(row, name, where);
    const prompt = text("prompt");
    return {
      empty: (side) => text(side) === "",
      encode: (part) => tokenizer.encode(part === "prompt" ? prompt : prompt + ended(text(part), tokenizer)),
    };
  }
  const answer = (side: string) => {
    const found = messagesColumn(row, side, where);
    if (found !== undefined) return found;
    throw new CraftError({
      subject: `${where}, column ${side}`,
      value: column(row, side),
      reason: "must be a list of messages, as prompt is",
    });
  };
  return {
    empty: (side) => answer(side).length === 0,
    encode: (part) =>
      part === "prompt"
        ? messages.length === 0
          ? []
          : encodeChat(tokenizer, messages, row, where, { addGenerationPrompt: true }).ids
        : encodeChat(tokenizer, [...messages, ...answer(part)], row, where).ids,
  };
}

/** A row that comes with tokens. */
function tokenised(row: object, where: string, whole: boolean): Parts {
  const [prompt, chosen, rejected] = tokenColumns.map((name) => integerColumn(row, name, where));
  const missing = [
    ...(prompt === undefined && !whole ? ["prompt_ids"] : []),
    ...(chosen === undefined ? ["chosen_ids"] : []),
    ...(rejected === undefined ? ["rejected_ids"] : []),
  ];
  if (chosen === undefined || rejected === undefined || missing.length > 0)
    throw missingColumn(row, missing, where);
  return prompt === undefined ? common(chosen, rejected) : { prompt, chosen, rejected };
}

/** Two texts as what they begin with and what follows. Something is left for both unless they are the same. */
function common(chosen: TokenIds, rejected: TokenIds): Parts {
  const most = Math.min(chosen.length, rejected.length) - 1;
  let shared = 0;
  while (shared < most && chosen[shared] === rejected[shared]) shared++;
  const part = (ids: TokenIds, from: number, to?: number): number[] =>
    Array.prototype.slice.call(ids, from, to) as number[];
  return {
    prompt: part(chosen, 0, shared),
    chosen: part(chosen, shared),
    rejected: part(rejected, shared),
  };
}

/** Cuts a row to its length and refuses one with nothing to prefer. */
function fitted(
  parts: Parts,
  where: string,
  notes: PreparationNotes,
  { maxLength = Infinity, truncationMode = "keep_start", whole = false }: PreferenceRowOptions,
): Parts | undefined {
  const { prompt, chosen, rejected } = parts;
  const longest = Math.max(chosen.length, rejected.length);
  for (const side of ["chosen", "rejected"] as const)
    if (parts[side].length === 0 || (!whole && prompt.length + parts[side].length < 2))
      return notes.bad("dropped_unsupervised", where, `the ${side} answer has no token to predict`);
  if (same(chosen, rejected))
    return notes.bad("dropped_equal", where, "chosen and rejected are the same: there is nothing to prefer");
  if (prompt.length + longest <= maxLength) return parts;
  if (whole)
    return notes.bad(
      "dropped_long",
      where,
      `a text has ${prompt.length + longest} tokens, more than maxLength = ${maxLength}, and its score stands at the end`,
    );
  const cut = truncationMode === "keep_start" ? fromEnd(parts, maxLength) : fromStart(parts, maxLength);
  if (typeof cut === "string") return notes.bad("dropped_long", where, cut);
  if (same(cut.chosen, cut.rejected))
    return notes.bad(
      "dropped_equal",
      where,
      `what is left of both answers within ${maxLength} tokens is the same`,
    );
  notes.add("truncated", where);
  return cut;
}

const slice = (ids: TokenIds, from: number, to?: number): number[] =>
  Array.prototype.slice.call(ids, from, to) as number[];

/** Without the ends of long answers, or why that does not do. */
function fromEnd({ prompt, chosen, rejected }: Parts, maxLength: number): Parts | string {
  const room = maxLength - prompt.length;
  if (room < 1)
    return `the prompt has ${prompt.length} tokens, which leave no room for an answer within maxLength = ${maxLength}`;
  return { prompt, chosen: slice(chosen, 0, room), rejected: slice(rejected, 0, room) };
}

/** Without the beginning of the prompt, or why that does not do. */
function fromStart({ prompt, chosen, rejected }: Parts, maxLength: number): Parts | string {
  const room = maxLength - Math.max(chosen.length, rejected.length);
  if (room < 1) return `an answer alone fills maxLength = ${maxLength}, and keep_end would leave no prompt`;
  return { prompt: slice(prompt, prompt.length - room), chosen, rejected };
}

const same = (a: TokenIds, b: TokenIds): boolean =>
  a.length === b.length && Array.prototype.every.call(a, (id, at) => b[at] === id);

const arrays = ({ prompt, chosen, rejected }: Parts) => ({
  prompt_ids: Int32Array.from(prompt),
  chosen_ids: Int32Array.from(chosen),
  rejected_ids: Int32Array.from(rejected),
});

/** Columns of numbers that a row may have beside its texts. */
function numbersOf(
  row: object,
  where: string,
  { margins = false }: PreferenceRowOptions,
): Pick<PreferenceRow, "margin" | "ref_chosen_logps" | "ref_rejected_logps"> {
  const names = ["ref_chosen_logps", "ref_rejected_logps", ...(margins ? ["margin"] : [])];
  const found = names.flatMap((name): [string, number][] => {
    const value = column(row, name) ?? undefined;
    if (value === undefined) return [];
    if (typeof value === "number" && Number.isFinite(value)) return [[name, value]];
    throw new CraftError({ subject: `${where}, column ${name}`, value, reason: "must be a finite number" });
  });
  return Object.fromEntries(found);
}

const ended = (text: string, { eosToken }: RowTokenizer): string =>
  eosToken === undefined || text.endsWith(eosToken) ? text : text + eosToken;

function checkOptions(options: PreferenceRowOptions): void {
  refuseUnknown("preference rows", options, optionNames);
  const { maxLength, truncationMode = "keep_start", onBadRow = "error" } = options;
  requireOneOf("truncationMode", truncationMode, ["keep_start", "keep_end"]);
  requireOneOf("onBadRow", onBadRow, ["error", "drop"]);
  if (maxLength === undefined || (Number.isSafeInteger(maxLength) && maxLength >= 2)) return;
  throw new CraftError({
    subject: "maxLength",
    value: maxLength,
    reason: "must be an integer of at least 2",
  });
}
