/** @file The demo's page. */
import type { Curves, HtmlReport, ReportSection, Table } from "../../report/index.js";
import { fixedForAll } from "./craft_runs.js";
import type { CompilerMessage } from "./messages.js";
import {
  comparesPresets,
  craftResults,
  demoSummary,
  demoTable,
  strategyOf,
  whatIsMeasured,
  type DemoOutcome,
  type DemoResult,
} from "./outcome.js";

const shown = 6;

/** Messages for the examples: spread over the held-out ones, of middling length. */
export function exampleIndices(
  heldOut: readonly CompilerMessage[],
  wanted: (message: CompilerMessage) => boolean = () => true,
): number[] {
  const fitting = heldOut
    .map((m, i) => [m.text.en.length, i] as const)
    .filter(([length, i]) => length >= 30 && length <= 110 && wanted(heldOut[i]!));
  return Array.from(
    { length: Math.min(shown, fitting.length) },
    (_, k) => fitting[Math.floor((k * fitting.length) / shown)]![1],
  );
}

export function demoReport(outcome: DemoOutcome): {
  table: Table;
  report: HtmlReport;
  summary: string[];
  examples: string;
} {
  const { to, results, heldOut, training, pairs, steps, seconds, typescript } = outcome;
  const table = demoTable(results);
  const summary = demoSummary(results);
  const chosen = exampleIndices(heldOut);
  const strategy = strategyOf(results);
  const presets = comparesPresets(results);
  const report: HtmlReport = {
    title: `Compiler messages, English to ${to}: base, SFT and ${presets ? "presets of CRAFT" : "CRAFT"}${strategy === "self_align" ? " with self-align" : ""}`,
    summary,
    facts: {
      "messages to train on": training,
      "messages held out": heldOut.length,
      "contrastive pairs": strategy === "self_align" ? "the messages" : pairs,
      "optimiser steps": steps,
      ...(presets ? {} : { "options of CRAFT": optionsOf(craftResults(results)[0]!) }),
      "seconds in all": Math.round(seconds),
      TypeScript: typescript,
      BLEU: results[0]?.signature ?? "",
    },
    sections: [
      {
        kind: "table",
        heading: "Scores on held-out messages",
        text: `${presets ? "Named after a preset: CRAFT with it. " : ""}${whatIsMeasured}`,
        ...table,
      },
      ...(presets ? [settingsSection(results)] : []),
      {
        kind: "bars",
        heading: "Side by side",
        panels: [
          bars(results, "BLEU", (r) => r.bleu, "higher", 1),
          bars(results, "Evaluation loss", (r) => r.loss, "lower", 2),
          bars(results, "Accuracy", (r) => r.hidden.accuracy, "higher", 2),
          bars(results, "Recall@1", (r) => r.hidden.recall, "higher", 2),
        ],
      },
      ...curveSections(results),
      {
        kind: "examples",
        heading: "Six translations",
        examples: chosen.map((i) => ({
          title: `TS${heldOut[i]!.code}`,
          rows: [
            { label: "English", text: heldOut[i]!.text.en },
            { label: "Reference", text: heldOut[i]!.text[to], lang: to },
            ...results.map((r) => ({ label: r.name, text: r.translations[i]!, lang: to })),
          ],
        })),
      },
    ],
  };
  const widest = Math.max(9, ...results.map(({ name }) => name.length));
  const examples = chosen
    .map((i) =>
      [
        `TS${heldOut[i]!.code}  ${heldOut[i]!.text.en}`,
        `  ${"reference".padEnd(widest)}  ${heldOut[i]!.text[to]}`,
        ...results.map((r) => `  ${r.name.padEnd(widest)}  ${r.translations[i]!}`),
      ].join("\n"),
    )
    .join("\n");
  return { table, report, summary, examples };
}

const bars = (
  results: readonly DemoResult[],
  title: string,
  value: (r: DemoResult) => number,
  better: "higher" | "lower",
  digits: number,
) => ({ title, values: results.map((r) => ({ name: r.name, value: value(r) })), better, digits });

/** Those that are not the defaults. */
const optionsOf = ({ settings }: DemoResult): string =>
  Object.entries(settings?.options ?? {})
    .map(([option, value]) => `${option}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");

function settingsSection(results: readonly DemoResult[]): ReportSection {
  return {
    kind: "table",
    heading: "What the presets are here",
    text: fixedForAll(strategyOf(results)),
    rows: craftResults(results).map((result) => ({
      preset: result.name,
      "options other than the defaults": optionsOf(result),
      "in this demo": result.settings?.remarks.join("; ") ?? "",
    })),
  };
}

function curveSections(results: readonly DemoResult[]): ReportSection[] {
  const crafts = craftResults(results);
  const curve = (result: DemoResult, key: string) => ({
    name: result.name,
    points: result.log.flatMap((entry) => {
      const [x, y] = [entry["step"], entry[key]];
      return x === undefined || y === undefined ? [] : [{ x, y }];
    }),
  });
  const several = crafts.length > 1;
  const supervised = results.flatMap((result) => {
    if (result.name === "SFT") return [curve(result, "loss")];
    return result.settings === undefined ? [] : [curve(result, "loss/craft_sft")];
  });
  return [
    {
      kind: "curves",
      heading: "Supervised loss in training",
      xLabel: "optimiser step",
      yLabel: "loss per token",
      ...(several ? { smooth: 5, fromZero: false } : {}),
      series: supervised,
    },
    ...(several ? [aboveSft(supervised)] : []),
    {
      kind: "curves",
      heading: "Contrastive loss in training",
      ...(several
        ? {
            text: "Runs with other temperatures or more negatives have other losses for the same representations: the table tells which is better.",
          }
        : {}),
      xLabel: "optimiser step",
      yLabel: "InfoNCE",
      ...(several ? { smooth: 5 } : {}),
      series: crafts.map((craft) => curve(craft, "loss/craft_contrast")),
    },
  ];
}

/** What the runs' batches have in common is most of what their losses do; it goes when SFT's is taken away. */
function aboveSft(curves: Curves["series"]): ReportSection {
  const sft = new Map(curves.find(({ name }) => name === "SFT")?.points.map(({ x, y }) => [x, y]));
  return {
    kind: "curves",
    heading: "Supervised loss above that of SFT",
    text: "On the same batches at the same steps: below 0 a run fits them better than SFT does.",
    xLabel: "optimiser step",
    yLabel: "loss per token, less SFT's",
    smooth: 5,
    series: curves
      .filter(({ name }) => name !== "SFT")
      .map(({ name, points }) => ({
        name,
        points: points.map(({ x, y }) => ({ x, y: y - (sft.get(x) ?? NaN) })),
      })),
  };
}
