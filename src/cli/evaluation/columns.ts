/** @file Columns of the dataset that is evaluated on. */
import { messagesColumn } from "../../data/sft_format.js";
import { missingColumn } from "../../data/tokens.js";
import type { Dataset } from "../../data/index.js";
import { CraftError } from "../../errors.js";
import type { ChatMessage } from "../../text/index.js";

/** The values of a column in all rows. @param flag names the option that chose the column */
async function readColumn<T>(
  dataset: Dataset,
  column: string,
  flag: string,
  read: (value: unknown, where: string) => T,
): Promise<T[]> {
  if (dataset.length === 0)
    throw new CraftError({ subject: "--dataset", value: dataset.name, reason: "has no rows" });
  const values: T[] = [];
  for await (const row of dataset) {
    const where = dataset.where(values.length);
    if (!(column in row)) throw missingColumn(row, [column], where, `Name the column with ${flag}.`);
    values.push(read(row[column], `${where}, column "${column}"`));
  }
  return values;
}

const requireText = (value: unknown, subject: string, mayBeEmpty: boolean): string => {
  if (typeof value === "string" && (mayBeEmpty || value !== "")) return value;
  throw new CraftError({
    subject,
    value,
    reason: value === "" ? "is empty" : "is no text",
    remedy: "Mend the row or take it out.",
  });
};

/** Texts, none of them empty unless they may be. */
export const textColumn = (
  dataset: Dataset,
  column: string,
  flag: string,
  mayBeEmpty = false,
): Promise<string[]> =>
  readColumn(dataset, column, flag, (value, where) => requireText(value, where, mayBeEmpty));

/** Prompts: texts, or lists of messages. */
export const promptColumn = (
  dataset: Dataset,
  column: string,
): Promise<(string | readonly ChatMessage[])[]> =>
  readColumn(dataset, column, "--prompt-column", (value, where) => {
    if (!Array.isArray(value)) return requireText(value, where, false);
    const messages = messagesColumn({ value }, "value", where) ?? [];
    if (messages.length > 0) return messages;
    throw new CraftError({ subject: where, reason: "the conversation is empty" });
  });

/** The references of each row, of several columns, each of which may hold a list. */
export async function referenceColumns(dataset: Dataset, columns: readonly string[]): Promise<string[][]> {
  const read = (value: unknown, where: string): string[] => {
    if (!Array.isArray(value)) return [requireText(value, where, true)];
    if (value.length === 0) throw new CraftError({ subject: where, reason: "has no reference" });
    return value.map((item, i) => requireText(item, `${where}, place ${i}`, true));
  };
  const each = await Promise.all(
    columns.map((column) => readColumn(dataset, column, "--reference-column", read)),
  );
  return each[0]!.map((_, row) => each.flatMap((references) => references[row]!));
}
