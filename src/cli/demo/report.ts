/** @file What the demo tells: a table, a page, and sentences that follow from the numbers. */
import type { HtmlReport, Table } from "../../report/index.js";
import type { LogEntry } from "../../training/index.js";
import type { CompilerMessage, TargetLanguage } from "./messages.js";
import type { AlignmentScores } from "./score.js";

export interface DemoResult {
  readonly name: string;
  readonly bleu: number;
  readonly signature: string;
  readonly loss: number;
  /** Of the model's own representations. */
  readonly hidden: AlignmentScores;
  /** Of those behind the projection head. */
  readonly projected: AlignmentScores | undefined;
  readonly translations: readonly string[];
  readonly log: readonly LogEntry[];
  readonly seconds: number;
}

export interface DemoOutcome {
  readonly to: TargetLanguage;
  readonly results: readonly DemoResult[];
  readonly heldOut: readonly CompilerMessage[];
  readonly training: number;
  readonly pairs: number;
  readonly steps: number;
  readonly seconds: number;
  readonly typescript: string;
}

const shown = 6;

/** Messages for the examples: spread over the held-out ones, of middling length. */
function exampleIndices(heldOut: readonly CompilerMessage[]): number[] {
  const fitting = heldOut
    .map((m, i) => [m.text.en.length, i] as const)
    .filter(([length]) => length >= 30 && length <= 110);
  return Array.from(
    { length: Math.min(shown, fitting.length) },
    (_, k) => fitting[Math.floor((k * fitting.length) / shown)]![1],
  );
}

export function demoTable(results: readonly DemoResult[]): Table {
  return {
    rows: results.map(({ name, bleu, loss, hidden, projected, seconds }) => ({
      model: name,
      BLEU: bleu,
      "eval loss": loss,
      accuracy: hidden.accuracy,
      "recall@1": hidden.recall,
      "accuracy, head": projected?.accuracy ?? null,
      "recall@1, head": projected?.recall ?? null,
      "training s": seconds === 0 ? null : seconds,
    })),
    digits: {
      BLEU: 2,
      "eval loss": 3,
      accuracy: 3,
      "recall@1": 3,
      "accuracy, head": 3,
      "recall@1, head": 3,
      "training s": 1,
    },
    better: { BLEU: "higher", "eval loss": "lower", accuracy: "higher", "recall@1": "higher" },
  };
}

/** Says who came out ahead, whoever it is. */
export function demoSummary(results: readonly DemoResult[]): string[] {
  const of = (name: string): DemoResult => results.find((r) => r.name === name)!;
  const [base, sft, craft] = [of("base"), of("SFT"), of("CRAFT")];
  const compare = (what: string, a: number, b: number, higherIsBetter: boolean, digits: number): string => {
    const same = a.toFixed(digits) === b.toFixed(digits);
    const verdict = same ? "equals" : a > b === higherIsBetter ? "beats" : "does not reach";
    return `CRAFT ${verdict} SFT on ${what}: ${a.toFixed(digits)} against ${b.toFixed(digits)}.`;
  };
  return [
    `SFT lifts BLEU from ${base.bleu.toFixed(2)} to ${sft.bleu.toFixed(2)}, CRAFT to ${craft.bleu.toFixed(2)}.`,
    compare("BLEU", craft.bleu, sft.bleu, true, 2),
    compare("evaluation loss", craft.loss, sft.loss, false, 3),
    compare(
      "recall@1 from English to the translation, by the model's own representations",
      craft.hidden.recall,
      sft.hidden.recall,
      true,
      3,
    ),
    `Both saw the same supervised batches; CRAFT's steps hold a contrastive batch besides and took ${(craft.seconds / Math.max(1e-9, sft.seconds)).toFixed(1)} times as long.`,
  ];
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
  const curve = (name: string, key: string) => ({
    name,
    points: (results.find((r) => r.name === name)?.log ?? []).flatMap((entry) => {
      const [x, y] = [entry["step"], entry[key]];
      return x === undefined || y === undefined ? [] : [{ x, y }];
    }),
  });
  const bars = (
    title: string,
    value: (r: DemoResult) => number,
    better: "higher" | "lower",
    digits: number,
  ) => ({
    title,
    values: results.map((r) => ({ name: r.name, value: value(r) })),
    better,
    digits,
  });
  const report: HtmlReport = {
    title: `Compiler messages, English to ${to}: base, SFT and CRAFT`,
    summary,
    facts: {
      "messages to train on": training,
      "messages held out": heldOut.length,
      "contrastive pairs": pairs,
      "optimiser steps": steps,
      "seconds in all": Math.round(seconds),
      TypeScript: typescript,
      BLEU: results[0]?.signature ?? "",
    },
    sections: [
      {
        kind: "table",
        heading: "Scores on held-out messages",
        text: "Accuracy: the translation is nearer than the others of its batch of 32. Recall@1: it is the nearest of all held-out ones. Both by cosine of the last token's hidden state; the last columns behind CRAFT's projection head.",
        ...table,
      },
      {
        kind: "bars",
        heading: "Side by side",
        panels: [
          bars("BLEU", (r) => r.bleu, "higher", 1),
          bars("Evaluation loss", (r) => r.loss, "lower", 2),
          bars("Accuracy", (r) => r.hidden.accuracy, "higher", 2),
          bars("Recall@1", (r) => r.hidden.recall, "higher", 2),
        ],
      },
      {
        kind: "curves",
        heading: "Supervised loss in training",
        xLabel: "optimiser step",
        yLabel: "loss per token",
        series: [curve("SFT", "loss"), curve("CRAFT", "loss/craft_sft")],
      },
      {
        kind: "curves",
        heading: "Contrastive loss in training",
        xLabel: "optimiser step",
        yLabel: "InfoNCE",
        series: [curve("CRAFT", "loss/craft_contrast")],
      },
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
  const examples = chosen
    .map((i) =>
      [
        `TS${heldOut[i]!.code}  ${heldOut[i]!.text.en}`,
        `  reference  ${heldOut[i]!.text[to]}`,
        ...results.map((r) => `  ${r.name.padEnd(9)}  ${r.translations[i]!}`),
      ].join("\n"),
    )
    .join("\n");
  return { table, report, summary, examples };
}
