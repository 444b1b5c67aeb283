/** @file Columns renamed, removed and chosen. */
import { CraftError } from "../errors.js";
import type { Row } from "./source.js";
import { missingColumn } from "./tokens.js";

/** New names of columns by their old ones. */
export type ColumnNames = Readonly<Record<string, string>>;

/** @throws {@link CraftError} naming the row if it lacks a column, or if a new name is one that it has already. */
export function renamedRow(row: object, names: ColumnNames, where: string): Row {
  requireColumnsOf(row, Object.keys(names), where);
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
export function withoutColumns(row: object, names: readonly string[], where: string): Row {
  requireColumnsOf(row, names, where);
  return Object.fromEntries(Object.entries(row).filter(([name]) => !names.includes(name)));
}

/** The columns, in the order given. @throws {@link CraftError} naming the row if it lacks one. */
export function onlyColumns(row: object, names: readonly string[], where: string): Row {
  requireColumnsOf(row, names, where);
  return Object.fromEntries(names.map((name) => [name, Reflect.get(row, name) as unknown] as const));
}

function requireColumnsOf(row: object, names: readonly string[], where: string): void {
  const missing = names.filter((name) => !Object.hasOwn(row, name));
  if (missing.length > 0) throw missingColumn(row, missing, where);
}
