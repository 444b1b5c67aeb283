/** @file Columns renamed, removed and chosen. */
import { CraftError } from "../errors.js";
import type { Row } from "./source.js";
import { missingColumn } from "./tokens.js";

/** New names of columns by their old ones. */
export type ColumnNames = Readonly<Record<string, string>>;

/** @throws {@link CraftError} naming the row if it lacks a column, or if a new name is one that it has already. */
export function renamedRow(given: unknown, names: ColumnNames, where: string): Row {
  const row = rowWith(given, Object.keys(names), where);
  const renamed = new Map<string, unknown>();
  for (const [name, value] of Object.entries(row)) {
    const to = Object.hasOwn(names, name) ? names[name]! : name;
    if (renamed.has(to))
      throw new CraftError({
        subject: where,
        value: to,
        reason: "would be the name of two columns",
        remedy: "Choose another name, or remove the column that has it",
      });
    renamed.set(to, value);
  }
  return Object.fromEntries(renamed);
}

/** @throws {@link CraftError} naming the row if it lacks a column. */
export function withoutColumns(given: unknown, names: readonly string[], where: string): Row {
  const row = rowWith(given, names, where);
  return Object.fromEntries(Object.entries(row).filter(([name]) => !names.includes(name)));
}

/** The columns, in the order given. @throws {@link CraftError} naming the row if it lacks one. */
export function onlyColumns(given: unknown, names: readonly string[], where: string): Row {
  const row = rowWith(given, names, where);
  return Object.fromEntries(names.map((name) => [name, Reflect.get(row, name) as unknown] as const));
}

function rowWith(row: unknown, names: readonly string[], where: string): object {
  if (typeof row !== "object" || row === null)
    throw new CraftError({ subject: where, value: row, reason: "is no row with columns" });
  const missing = names.filter((name) => !Object.hasOwn(row, name));
  if (missing.length > 0) throw missingColumn(row, missing, where);
  return row;
}
