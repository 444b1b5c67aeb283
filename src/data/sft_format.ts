/** @file Which of the known shapes a row for supervised fine-tuning has. */
import { CraftError } from "../errors.js";
import type { ChatMessage } from "../text/index.js";
import { column, missingColumn } from "./tokens.js";

/**
 * - "tokenised": `input_ids`, with `labels`, `completion_mask`, `assistant_masks` or `attention_mask` as may be;
 * - "prompt_completion": `prompt` and `completion`, both text or both lists of messages;
 * - "messages": a conversation;
 * - "text": text in a column of any name.
 */
export type SftFormat = "tokenised" | "prompt_completion" | "messages" | "text";

/**
 * The shape of a row. Where columns of several are there, the first in the order of {@link SftFormat} counts.
 *
 * @throws {@link CraftError} naming the row and its columns if it has none of the shapes.
 */
export function sftFormat(row: object, where: string, textField = "text"): SftFormat {
  const has = (name: string) => present(row, name);
  if (has("input_ids")) return "tokenised";
  if (has("prompt") && has("completion")) return "prompt_completion";
  if (has("messages")) return "messages";
  if (has(textField)) return "text";
  if (has("prompt")) throw missingColumn(row, ["completion"], where);
  if (has("completion")) throw missingColumn(row, ["prompt"], where);
  const hint = has("conversations") ? "; rename conversations to messages with role and content" : "";
  throw missingColumn(
    row,
    [textField],
    where,
    `Rows need the columns ${textField}, or prompt and completion, or messages, or input_ids${hint}`,
  );
}

/** The columns that every row of a format has. */
export function requiredColumns(format: SftFormat, textField = "text"): readonly string[] {
  switch (format) {
    case "tokenised":
      return ["input_ids"];
    case "prompt_completion":
      return ["completion", "prompt"];
    case "messages":
      return ["messages"];
    case "text":
      return [textField];
  }
}

/** @throws {@link CraftError} naming the columns that the row lacks for its dataset's format. */
export function requireColumns(row: object, format: SftFormat, where: string, textField?: string): void {
  const missing = requiredColumns(format, textField).filter((name) => !present(row, name));
  if (missing.length > 0) throw missingColumn(row, missing, where, "The rows before it have it");
}

/** The text of a column; it may be empty. */
export function textColumn(row: object, name: string, where: string): string {
  const value = column(row, name);
  if (value === undefined || value === null) throw missingColumn(row, [name], where);
  if (typeof value === "string") return value;
  throw new CraftError({ subject: `${where}, column ${name}`, value, reason: "must be text" });
}

/** The messages of a column, or undefined if it holds text; the list may be empty. */
export function messagesColumn(row: object, name: string, where: string): readonly ChatMessage[] | undefined {
  const value = column(row, name);
  if (!Array.isArray(value)) return undefined;
  const items: readonly unknown[] = value;
  const messages = items.filter(isMessage);
  if (messages.length === items.length) return messages;
  const bad = items.findIndex((item) => !isMessage(item));
  throw new CraftError({
    subject: `${where}, column ${name}, message ${bad}`,
    value: items[bad],
    reason: "a message must be an object with a role",
  });
}

function isMessage(item: unknown): item is ChatMessage {
  return typeof item === "object" && item !== null && "role" in item && typeof item.role === "string";
}

function present(row: object, name: string): boolean {
  const value = column(row, name);
  return value !== undefined && value !== null;
}
