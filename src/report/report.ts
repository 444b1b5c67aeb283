import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CraftError } from "../errors.js";
import type { HtmlReport } from "./page.js";

/**
 * Writes one HTML page with the report: charts as inline SVG, no scripts, nothing fetched from anywhere.
 * A series has the same colour wherever its name occurs on the page. The file appears whole or not at all;
 * its folder is made when it is not there.
 *
 * @throws CraftError when the file cannot be written, or more series have names than there are colours.
 */
export async function writeHtmlReport(path: string, report: HtmlReport): Promise<void> {
  // The drawing library takes a third of a second to load, which only those who draw should pay.
  const { renderPage } = await import("./page.js");
  const page = renderPage(report);
  const draft = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(draft, page);
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true }).catch(() => undefined); // the first error tells more
    throw new CraftError({
      subject: "report",
      value: path,
      reason: `the file cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy: "Choose a place that is writable",
      cause,
    });
  }
}
