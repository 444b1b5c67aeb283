/** @file Puts a result into its place on a page. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { format, resolveConfig } from "prettier";
import { CraftError } from "../src/errors.js";

/**
 * Replaces what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.
 *
 * @throws CraftError if the page lacks one of the two markers.
 */
export function replaceSection(page: string, name: string, content: string): string {
  const [open, close] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
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

/** Finds out before a benchmark whether its result will have a place. */
export function requireSection(file: string, name: string): void {
  if (!existsSync(file))
    throw new CraftError({ subject: "--markdown", value: file, reason: "there is no such file" });
  replaceSection(readFileSync(file, "utf8"), name, "");
}

/** Puts a result into a file, laid out as the formatter wants it; see {@link replaceSection}. */
export async function updatePage(file: string, name: string, content: string): Promise<void> {
  const page = replaceSection(readFileSync(file, "utf8"), name, content);
  const style = await resolveConfig(file);
  writeFileSync(file, await format(page, { ...style, filepath: file }));
}
