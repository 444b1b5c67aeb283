/** @file The demo's result on a page in Markdown. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { CraftError } from "../../errors.js";
import { markdownTable, replaceMarked } from "../../report/index.js";
import { fixedForAll, type RunSettings } from "./craft_runs.js";
import {
  craftResults,
  demoSummary,
  demoTable,
  strategyOf,
  whatIsMeasured,
  type DemoOutcome,
} from "./outcome.js";

/** What the place of a result on a page is called: `demo:presets`, for example. */
export function markerOf(presets: boolean, strategy: RunSettings["strategy"]): string {
  const parts = [...(presets ? ["presets"] : []), ...(strategy === "self_align" ? [strategy] : [])];
  return `demo:${parts.join("_") || "plain"}`;
}

/** For a page. @param command what gives this result again; @param date as YYYY-MM-DD */
export function demoMarkdown(outcome: DemoOutcome, command: string, date: string): string {
  const { results, heldOut, training, pairs, to, steps, typescript } = outcome;
  const strategy = strategyOf(results);
  const paired = strategy === "paired_dataset" ? `, ${pairs} pairs` : "";
  const remarks = craftResults(results).flatMap(({ name, settings }) =>
    (settings?.remarks ?? []).map((remark) => ({ name, remark })),
  );
  const items = [
    `${training} messages to train on${paired}, ${heldOut.length} held out, English to ${to}, TypeScript ${typescript}; ${steps} steps; BLEU is ${results[0]?.signature ?? ""}.`,
    whatIsMeasured,
    fixedForAll(strategy),
    ...[...new Set(remarks.map(({ remark }) => remark))].map((remark) => {
      const names = remarks.filter((other) => other.remark === remark).map(({ name }) => name);
      return `${names.join(", ")}: ${remark}.`;
    }),
    ...demoSummary(results),
  ];
  return [
    `\`${command}\`, ${date}:`,
    markdownTable(demoTable(results)),
    items.map((item) => `- ${item}`).join("\n"),
  ].join("\n\n");
}

/** @throws CraftError if there is no such file, or no place in it with this name. */
export function requirePlace(file: string, marker: string): void {
  if (!existsSync(file))
    throw new CraftError({ subject: "--markdown", value: file, reason: "there is no such file" });
  replaceMarked(readFileSync(file, "utf8"), marker, "");
}

/** Puts a result into its place on a page, which changes whole or not at all. */
export function updatePage(file: string, marker: string, content: string): void {
  const draft = `${file}.${process.pid}.tmp`;
  try {
    writeFileSync(draft, replaceMarked(readFileSync(file, "utf8"), marker, content));
    renameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
}
