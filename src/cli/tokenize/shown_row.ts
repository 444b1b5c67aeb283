/** @file A prepared row as people read it. */
import { ignoredLabel, type PreparedRow } from "../../data/index.js";
import { templateColumns } from "../../data/row_tokenizer.js";
import { messagesColumn } from "../../data/sft_format.js";
import { column } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import type { ChatMessage, Tokenizer } from "../../text/index.js";

export interface ShownToken {
  readonly id: number;
  /** Its text; of bytes that are a part of a character, the token as the vocabulary writes it. */
  readonly text: string;
  /** Whose it is: a role of the conversation, `prompt`, `completion` or `text`; null where that cannot be told. */
  readonly role: string | null;
  /** Whether it is to be predicted. */
  readonly trained: boolean;
}

export interface ShownRow {
  /** File and line, or what else tells where the row came from. */
  readonly where: string;
  readonly tokens: readonly ShownToken[];
}

/**
 * @param raw the row before it was prepared
 * @param skipped how many of its tokens were cut off at the start
 */
export function shownRow(
  { input_ids: ids, labels }: PreparedRow,
  raw: object,
  where: string,
  tokenizer: Tokenizer,
  skipped: number,
): ShownRow {
  const role = rolesOf(raw, where, tokenizer);
  const texts = textsOf(Array.from(ids), tokenizer);
  return {
    where,
    tokens: Array.from(ids, (id, i) => ({
      id,
      text: texts[i]!,
      role: role(i + skipped),
      // Nothing predicts the first token.
      trained: i > 0 && labels[i] !== ignoredLabel,
    })),
  };
}

/** What each token adds to the text before it. */
function textsOf(ids: readonly number[], tokenizer: Tokenizer): string[] {
  const context = 4;
  return ids.map((id, i) => {
    const before = ids.slice(Math.max(0, i - context), i);
    const start = tokenizer.decode(before);
    const text = tokenizer.decode([...before, id]);
    const own = text.startsWith(start) ? text.slice(start.length) : tokenizer.decode([id]);
    return own === "" || own.includes("\ufffd") ? (tokenizer.idToToken(id) ?? own) : own;
  });
}

type RoleAt = (place: number) => string | null;

/** Whose the token at a place of the whole row is. */
function rolesOf(raw: object, where: string, tokenizer: Tokenizer): RoleAt {
  if ((column(raw, "input_ids") ?? undefined) !== undefined) return () => null;
  const [prompt, completion] = [column(raw, "prompt"), column(raw, "completion")];
  if (typeof prompt === "string" && typeof completion === "string") {
    const { length } = tokenizer.encode(prompt);
    return (place) => (place < length ? "prompt" : "completion");
  }
  const messages = Array.isArray(prompt)
    ? [...(messagesColumn(raw, "prompt", where) ?? []), ...(messagesColumn(raw, "completion", where) ?? [])]
    : (column(raw, "messages") ?? undefined) === undefined
      ? undefined
      : messagesColumn(raw, "messages", where);
  return messages === undefined ? () => "text" : turnsOf(messages, raw, where, tokenizer);
}

/** The message that a token came with: each adds to the tokens of those before it, or it cannot be told. */
function turnsOf(messages: readonly ChatMessage[], raw: object, where: string, tokenizer: Tokenizer): RoleAt {
  const options = templateColumns(raw, where);
  const roles: string[] = [];
  let before: readonly number[] = [];
  for (const [i, { role }] of messages.entries()) {
    let ids: readonly number[];
    try {
      ids = tokenizer.applyChatTemplate(messages.slice(0, i + 1), options);
    } catch (error) {
      // The template does not take a conversation that ends here.
      if (error instanceof CraftError) return () => null;
      throw error;
    }
    if (!before.every((id, at) => ids[at] === id)) return () => null;
    roles.push(...ids.slice(before.length).map(() => role));
    before = ids;
  }
  return (place) => roles[place] ?? null;
}
