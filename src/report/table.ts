import { CraftError } from "../errors.js";

/** A value in a table; `null` stands for one that does not exist and is shown as a dash. */
export type Cell = string | number | null;

export interface Table {
  /** One object a row. Columns are the keys, in order of first appearance; a key that a row lacks is a dash. */
  readonly rows: readonly Readonly<Record<string, Cell>>[];
  /**
   * Digits after the point, by column. Default: as many as its values need, up to 3, or up to 3 that count
   * where all are below 0.1.
   */
  readonly digits?: Readonly<Record<string, number>>;
  /** Which end of a column is the good one. Marks its header with an arrow and, in HTML, its best value. */
  readonly better?: Readonly<Record<string, "higher" | "lower">>;
}

/** A table with its cells as text. */
export interface TableText {
  readonly columns: readonly { readonly name: string; readonly header: string; readonly numeric: boolean }[];
  readonly rows: readonly (readonly { readonly text: string; readonly best: boolean }[])[];
}

const arrows = { higher: "↑", lower: "↓" } as const;

/**
 * Sets a table for the terminal: aligned columns, numbers to the right, a line under the header.
 * Wide characters (Chinese, Japanese, Korean, emoji) count as two.
 *
 * @returns lines without a line end after the last.
 * @throws CraftError when `digits` or `better` names a column that no row has.
 */
export function formatTable(table: Table): string {
  const { columns, rows } = tableText(table);
  const widths = columns.map(({ header }, column) =>
    Math.max(displayWidth(header), ...rows.map((cells) => displayWidth(cells[column]!.text))),
  );
  const line = (texts: readonly string[]) =>
    texts
      .map((text, column) => {
        const space = " ".repeat(widths[column]! - displayWidth(text));
        return columns[column]!.numeric ? space + text : text + space;
      })
      .join("  ")
      .trimEnd();
  return [
    line(columns.map(({ header }) => header)),
    widths.map((width) => "─".repeat(width)).join("  "),
    ...rows.map((cells) => line(cells.map(({ text }) => text))),
  ].join("\n");
}

/** Turns a table's values into text, as the terminal and the HTML page show it. */
export function tableText({ rows, digits = {}, better = {} }: Table): TableText {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  for (const name of [...Object.keys(digits), ...Object.keys(better)]) {
    if (names.includes(name)) continue;
    throw new CraftError({
      subject: "column",
      value: name,
      reason: "no row of the table has it",
      remedy: `Columns are ${names.join(", ")}`,
    });
  }
  const columns = names.map((name) => {
    const cells = rows.map((row) => row[name] ?? null);
    const numbers = cells.filter((cell) => typeof cell === "number");
    const places = digits[name] ?? decimalsNeeded(numbers);
    const direction = better[name];
    return {
      name,
      header: direction === undefined ? name : `${name} ${arrows[direction]}`,
      numeric: numbers.length > 0 && cells.every((cell) => typeof cell !== "string"),
      texts: cells.map((cell) => formatCell(cell, places)),
      best: direction === undefined ? undefined : bestText(numbers, direction, places),
    };
  });
  return {
    columns: columns.map(({ name, header, numeric }) => ({ name, header, numeric })),
    rows: rows.map((_, at) =>
      columns.map(({ texts, best }) => ({ text: texts[at]!, best: texts[at] === best })),
    ),
  };
}

/** A number with a fixed count of digits after the point; what is missing is a dash. */
export function formatCell(cell: Cell, places: number): string {
  if (cell === null) return "–";
  if (typeof cell === "string") return cell;
  return Number.isFinite(cell) ? cell.toFixed(places).replace(/^-(?=[0.]*$)/, "") : String(cell);
}

function decimalsNeeded(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  const largest = Math.max(...finite.map(Math.abs), 0);
  const most = largest > 0 && largest < 0.1 ? Math.min(2 - Math.floor(Math.log10(largest)), 12) : 3;
  const fractions = finite.map((value) => value.toFixed(most).split(".")[1] ?? "");
  return Math.max(0, ...fractions.map((digits) => digits.replace(/0+$/, "").length));
}

/** Compared as shown, so that values which read the same are marked alike; none when all are the same. */
function bestText(
  numbers: readonly number[],
  direction: "higher" | "lower",
  places: number,
): string | undefined {
  const finite = numbers.filter(Number.isFinite);
  const best = direction === "higher" ? Math.max(...finite) : Math.min(...finite);
  const texts = new Set(finite.map((value) => formatCell(value, places)));
  return texts.size > 1 ? formatCell(best, places) : undefined;
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
const wide =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{Emoji_Presentation}\u{3000}-\u{303e}\u{ff01}-\u{ff60}\u{ffe0}-\u{ffe6}]/u;

/** Columns that a text takes in a terminal. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += wide.test(segment) ? 2 : 1;
  return width;
}
