/** @file Tables in Markdown, and their place on a page. */
import { CraftError } from "../errors.js";
import { displayWidth, tableText, type Table } from "./table.js";

/**
 * Sets a table for a Markdown page, aligned as common formatters leave it; the best value of a column is bold.
 *
 * @returns lines without a line end after the last.
 * @throws CraftError when `digits` or `better` names a column that no row has.
 */
export function markdownTable(table: Table): string {
  const { columns, rows } = tableText(table);
  const cells = [
    columns.map(({ header }) => escapeCell(header)),
    ...rows.map((row) => row.map(({ text, best }) => (best ? `**${escapeCell(text)}**` : escapeCell(text)))),
  ];
  const widths = columns.map((_, at) => Math.max(3, ...cells.map((row) => displayWidth(row[at]!))));
  const line = (row: readonly string[]): string =>
    `| ${row
      .map((text, at) => {
        const space = " ".repeat(widths[at]! - displayWidth(text));
        return columns[at]!.numeric ? space + text : text + space;
      })
      .join(" | ")} |`;
  const rule = columns.map(({ numeric }, at) =>
    numeric ? `${"-".repeat(widths[at]! - 1)}:` : "-".repeat(widths[at]!),
  );
  return [line(cells[0]!), `| ${rule.join(" | ")} |`, ...cells.slice(1).map(line)].join("\n");
}

/** A bar would end the cell; what would be read as markup stands as it is. */
const escapeCell = (text: string): string => text.replace(/[\\|*`<]|(?<!\w)_|_(?!\w)/g, "\\$&");

/**
 * Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->` on a page.
 *
 * @throws CraftError if the page lacks one of the two markers.
 */
export function replaceMarked(page: string, name: string, content: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const from = page.indexOf(open);
  const to = page.indexOf(close, from);
  if (from === -1 || to === -1) {
    throw new CraftError({
      subject: "page",
      value: from === -1 ? open : close,
      reason: "does not occur in it",
      remedy: `Put ${open} and ${close} where the result belongs.`,
    });
  }
  return `${page.slice(0, from + open.length)}\n\n${content}\n\n${page.slice(to)}`;
}
