/** @file Puts a result into its place on a page. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { format, resolveConfig } from "prettier";
import { CraftError } from "../src/errors.js";
import { replaceMarked } from "../src/report/index.js";

/**
 * Replaces what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.
 *
 * @throws CraftError if the page lacks one of the two markers.
 */
export const replaceSection = (page: string, name: string, content: string): string =>
  replaceMarked(page, `bench:${name}`, content);

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
