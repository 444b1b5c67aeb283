/** @file Rows for supervised fine-tuning: text to tokens, and which tokens are to be predicted. */
import { CraftError } from "../errors.js";
import type { ChatMessage } from "../text/index.js";
import type { IterableDataset } from "./iterable.js";
import type { Dataset } from "./dataset.js";
import { isConversationalFromValue, maybeConvertToChatml } from "./formats.js";
import { refuseUnknown, requireOneOf } from "./options.js";
import {
  prepareDataset,
  prepareStream,
  type PreparationNotes,
  type PreparationOptions,
  type Prepare,
  type Prepared,
} from "./prepared.js";
import { messagesColumn, requireColumns, sftFormat, textColumn, type SftFormat } from "./sft_format.js";
import { encodeChat, type RowTokenizer } from "./row_tokenizer.js";
import { tokenisedRow, type PreparedRow } from "./tokenised_rows.js";
import { ignoredLabel, type TokenIds } from "./tokens.js";

export interface SftRowOptions extends PreparationOptions {
  /** Rows are cut to as many tokens. By default they are not. */
  readonly maxLength?: number;
  /** Which end of a long row stays. Default "keep_start". */
  readonly truncationMode?: "keep_start" | "keep_end";
  /** The column of plain text. Default "text". */
  readonly datasetTextField?: string;
  /** Predict the completion only. By default true for prompt and completion, and where a `completion_mask` is given. */
  readonly completionOnlyLoss?: boolean;
  /** Predict what the assistant says only; needs conversations. Default false. */
  readonly assistantOnlyLoss?: boolean;
  /** Keep the assistant's mask of conversations as column `assistant_masks`. Default false. */
  readonly returnAssistantMasks?: boolean;
}

const optionNames = [
  "maxLength",
  "truncationMode",
  "datasetTextField",
  "completionOnlyLoss",
  "assistantOnlyLoss",
  "returnAssistantMasks",
  "onBadRow",
  "cacheTokens",
  "onProgress",
] as const;

/** A row before it is cut. */
interface Draft {
  readonly ids: TokenIds;
  /** Whether the token at a place is to be predicted. */
  readonly predicted: (place: number) => boolean;
  readonly assistantMask?: TokenIds;
}

/**
 * Prepares the rows of a dataset, in any of the shapes of {@link SftFormat}, all in that of the first row.
 *
 * - Plain text and completions get the end token if they do not end with it; conversations end as their template does.
 * - Text is tokenised with the tokenizer's special tokens, a prompt together with its completion. The prompt's tokens are
 *   as many as the prompt alone has.
 * - Rows longer than `maxLength` are cut.
 *
 * @throws {@link CraftError} naming file and row for a missing column, an empty row, and a row with nothing to predict.
 *
 * @example
 * const { dataset, lengths, report } = await prepareSftDataset(raw, tokenizer, { maxLength: 512 });
 */
export async function prepareSftDataset(
  raw: Dataset<object>,
  tokenizer: RowTokenizer | undefined,
  options: SftRowOptions = {},
): Promise<Prepared<PreparedRow>> {
  const prepare = sftPreparer(tokenizer, options);
  return prepareDataset(raw, prepare, { ...options, size: (row) => row.input_ids.length });
}

/** Prepares rows of a stream as they come; see {@link prepareSftDataset}. */
export function prepareSftStream(
  raw: IterableDataset<object>,
  tokenizer: RowTokenizer | undefined,
  options: Omit<SftRowOptions, "cacheTokens" | "onProgress"> = {},
): { readonly dataset: IterableDataset<PreparedRow>; readonly notes: PreparationNotes } {
  return prepareStream(raw, sftPreparer(tokenizer, options), options);
}

/** What prepares one row after the other; the first one settles the format. */
export function sftPreparer(
  tokenizer: RowTokenizer | undefined,
  options: SftRowOptions = {},
): Prepare<PreparedRow> {
  checkOptions(options);
  const textField = options.datasetTextField ?? "text";
  let format: SftFormat | undefined;
  let isShareGpt: boolean | undefined;
  return (given, where, notes) => {
    // As in TRL, the first row tells for all.
    isShareGpt ??= isConversationalFromValue(given);
    const row = isShareGpt ? maybeConvertToChatml(given) : given;
    format ??= checkedFormat(sftFormat(row, where, textField), row, where, options);
    requireColumns(row, format, where, textField);
    if (format === "tokenised")
      return finish(tokenisedRow(row, where, notes, options), where, notes, options);
    if (tokenizer === undefined) {
      throw new CraftError({
        subject: where,
        reason: "the row is text and there is no tokenizer",
        remedy: "Give one",
      });
    }
    const draft = draftRow(row, format, where, tokenizer, notes, options);
    if (draft === undefined) return undefined;
    const { ids, predicted, assistantMask } = draft;
    const prepared: PreparedRow = {
      input_ids: Int32Array.from(ids),
      labels: Int32Array.from(ids, (id, place) => (predicted(place) ? id : ignoredLabel)),
      ...(assistantMask && { assistant_masks: Int32Array.from(assistantMask) }),
    };
    return finish(prepared, where, notes, options);
  };
}

function draftRow(
  row: object,
  format: Exclude<SftFormat, "tokenised">,
  where: string,
  tokenizer: RowTokenizer,
  notes: PreparationNotes,
  options: SftRowOptions,
): Draft | undefined {
  const { datasetTextField: textField = "text", completionOnlyLoss = true } = options;
  if (format === "text") {
    const text = textColumn(row, textField, where);
    if (text === "") return notes.bad("dropped_empty", where, `column ${textField} is empty`);
    return { ids: tokenizer.encode(ended(text, tokenizer)), predicted: () => true };
  }
  if (format === "messages") {
    const messages = messagesColumn(row, "messages", where);
    if (messages === undefined) throw notMessages(row, "messages", where);
    if (messages.length === 0) return notes.bad("dropped_empty", where, "column messages is empty");
    return chatDraft(row, messages, 0, where, tokenizer, options);
  }
  const promptMessages = messagesColumn(row, "prompt", where);
  const completionMessages = messagesColumn(row, "completion", where);
  if (promptMessages !== undefined && completionMessages !== undefined) {
    if (promptMessages.length === 0) return notes.bad("dropped_empty", where, "column prompt is empty");
    if (completionMessages.length === 0)
      return notes.bad("dropped_unsupervised", where, "column completion is empty");
    const prompt = encodeChat(tokenizer, promptMessages, row, where, { addGenerationPrompt: true }).ids;
    const first = completionOnlyLoss ? prompt.length : 0;
    const draft = chatDraft(
      row,
      [...promptMessages, ...completionMessages],
      first,
      where,
      tokenizer,
      options,
    );
    if (!startsWith(draft.ids, prompt)) notes.add("prompt_not_prefix", where);
    return draft;
  }
  const prompt = textColumn(row, "prompt", where);
  const completion = textColumn(row, "completion", where);
  if (completion === "") return notes.bad("dropped_unsupervised", where, "column completion is empty");
  const promptIds = tokenizer.encode(prompt);
  const ids = tokenizer.encode(prompt + ended(completion, tokenizer));
  if (!startsWith(ids, promptIds)) notes.add("prompt_not_prefix", where);
  return { ids, predicted: (place) => !completionOnlyLoss || place >= promptIds.length };
}

/** A conversation, of which the tokens from place `first` on are to be predicted. */
function chatDraft(
  row: object,
  messages: readonly ChatMessage[],
  first: number,
  where: string,
  tokenizer: RowTokenizer,
  { assistantOnlyLoss = false, returnAssistantMasks = false }: SftRowOptions,
): Draft {
  const masked = assistantOnlyLoss || returnAssistantMasks;
  const { ids, assistantMask } = encodeChat(tokenizer, messages, row, where, { assistantMask: masked });
  if (masked && (assistantMask === undefined || !Array.prototype.includes.call(assistantMask, 1))) {
    throw new CraftError({
      subject: where,
      reason: "no token of the conversation is the assistant's",
      remedy: "Give it an assistant's turn, and the chat template generation marks around such turns",
    });
  }
  const predicted = (place: number) => place >= first && (!assistantOnlyLoss || assistantMask?.[place] === 1);
  return { ids, predicted, ...(returnAssistantMasks && assistantMask && { assistantMask }) };
}

/** Cuts a row to its length and refuses one with nothing to predict. */
function finish(
  row: PreparedRow | undefined,
  where: string,
  notes: PreparationNotes,
  { maxLength = Infinity, truncationMode = "keep_start" }: SftRowOptions,
): PreparedRow | undefined {
  if (row === undefined) return undefined;
  const length = row.input_ids.length;
  if (length === 0) return notes.bad("dropped_empty", where, "the row is empty: it has no token");
  if (!supervised(row.labels)) {
    return notes.bad(
      "dropped_unsupervised",
      where,
      "the row has no supervised token: none that is to be predicted from one before it",
    );
  }
  if (length <= maxLength) return row;
  const [from, to] = truncationMode === "keep_start" ? [0, maxLength] : [length - maxLength, length];
  const cut: PreparedRow = {
    input_ids: row.input_ids.slice(from, to),
    labels: row.labels.slice(from, to),
    ...(row.attention_mask && { attention_mask: row.attention_mask.slice(from, to) }),
    ...(row.assistant_masks && { assistant_masks: row.assistant_masks.slice(from, to) }),
  };
  if (!supervised(cut.labels)) {
    const reason = `the row has no supervised token left once its ${length} tokens are cut to maxLength = ${maxLength}`;
    return notes.bad("dropped_unsupervised", where, reason);
  }
  notes.add("truncated", where);
  return cut;
}

/** Whether any token but the first, which nothing predicts, carries a label. */
function supervised(labels: Int32Array): boolean {
  return labels.subarray(1).some((label) => label !== ignoredLabel);
}

function ended(text: string, { eosToken }: RowTokenizer): string {
  return eosToken === undefined || text.endsWith(eosToken) ? text : text + eosToken;
}

function startsWith(ids: TokenIds, prefix: TokenIds): boolean {
  return Array.prototype.every.call(prefix, (id, place) => ids[place] === id);
}

function notMessages(row: object, name: string, where: string): CraftError {
  const value: unknown = Reflect.get(row, name);
  return new CraftError({ subject: `${where}, column ${name}`, value, reason: "must be a list of messages" });
}

function checkOptions(options: SftRowOptions): void {
  refuseUnknown("SFT rows", options, optionNames);
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

/** @throws {@link CraftError} if a loss is asked for that rows of the format cannot have. */
function checkedFormat(format: SftFormat, row: object, where: string, options: SftRowOptions): SftFormat {
  const conversational = format === "messages" || messagesColumn(row, "prompt", where) !== undefined;
  if (options.completionOnlyLoss === true && (format === "text" || format === "messages")) {
    throw new CraftError({
      subject: "completionOnlyLoss",
      value: true,
      reason: `the rows have no completion (${where} has the shape "${format}")`,
      remedy: "Give rows with prompt and completion, or leave the option out",
    });
  }
  if (options.assistantOnlyLoss === true && !conversational && format !== "tokenised") {
    throw new CraftError({
      subject: "assistantOnlyLoss",
      value: true,
      reason: `the rows are no conversations (${where} has the shape "${format}")`,
      remedy: "Give rows with messages, or leave the option out",
    });
  }
  return format;
}
