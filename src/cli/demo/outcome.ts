/** @file What the demo measured, as a table and in sentences that follow from the numbers. */
import type { Table } from "../../report/index.js";
import type { LogEntry } from "../../training/index.js";
import type { RunSettings } from "./craft_runs.js";
import type { CompilerMessage, TargetLanguage } from "./messages.js";
import type { AlignmentScores } from "./score.js";

export interface DemoResult {
  /** "base", "SFT", and of CRAFT runs the preset, or "CRAFT". */
  readonly name: string;
  /** Of a CRAFT run. */
  readonly settings: RunSettings | undefined;
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
  /** Base, SFT, and then the CRAFT runs. */
  readonly results: readonly DemoResult[];
  readonly heldOut: readonly CompilerMessage[];
  readonly training: number;
  readonly pairs: number;
  readonly steps: number;
  readonly seconds: number;
  readonly typescript: string;
}

export const craftResults = (results: readonly DemoResult[]): readonly DemoResult[] =>
  results.filter(({ settings }) => settings !== undefined);

/** Whether CRAFT ran with presets, after which its results are then named. */
export const comparesPresets = (results: readonly DemoResult[]): boolean =>
  craftResults(results).some(({ settings }) => settings?.preset !== null);

export const whatIsMeasured =
  "Accuracy: the translation is nearer than the others of its batch of 32. Recall@1: it is the nearest of all held-out ones. Both by cosine of the last token's hidden state; the last columns behind CRAFT's projection head.";

export const strategyOf = (results: readonly DemoResult[]): RunSettings["strategy"] =>
  craftResults(results)[0]?.settings?.strategy ?? "paired_dataset";

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

interface Measure {
  readonly what: string;
  readonly of: (result: DemoResult) => number;
  readonly better: "higher" | "lower";
  readonly digits: number;
}

const bleu: Measure = { what: "BLEU", of: (r) => r.bleu, better: "higher", digits: 2 };
const loss: Measure = { what: "evaluation loss", of: (r) => r.loss, better: "lower", digits: 3 };
const accuracy: Measure = {
  what: "contrastive accuracy",
  of: (r) => r.hidden.accuracy,
  better: "higher",
  digits: 3,
};
const recall: Measure = {
  what: "recall@1 from English to the translation, by the model's own representations",
  of: (r) => r.hidden.recall,
  better: "higher",
  digits: 3,
};

/** Says who came out ahead, whoever it is. */
export function demoSummary(results: readonly DemoResult[]): string[] {
  const [base, sft] = [byName(results, "base"), byName(results, "SFT")];
  const crafts = craftResults(results);
  const times = crafts
    .map((r) => [r.seconds / Math.max(1e-9, sft.seconds), r.name] as const)
    .sort(([a], [b]) => a - b);
  const [least, most] = [times[0]!, times.at(-1)!];
  if (!comparesPresets(results)) {
    const craft = crafts[0]!;
    return [
      `SFT lifts BLEU from ${base.bleu.toFixed(2)} to ${sft.bleu.toFixed(2)}, CRAFT to ${craft.bleu.toFixed(2)}.`,
      ...[bleu, loss, recall].map((measure) => againstSft(measure, craft, sft)),
      `Both saw the same supervised batches; ${costOf(craft)} took ${least[0].toFixed(1)} times as long.`,
    ];
  }
  return [
    `SFT lifts BLEU from ${base.bleu.toFixed(2)} to ${sft.bleu.toFixed(2)}. Each preset of CRAFT against that:`,
    ...[bleu, loss, accuracy, recall].map((measure) => standing(measure, crafts, sft)),
    crafts.length === 1
      ? `Both saw the same supervised batches; ${costOf(crafts[0]!)} took ${least[0].toFixed(1)} times as long.`
      : `All saw the same supervised batches; ${costOf(crafts[0]!)} took ${least[0].toFixed(1)} (${least[1]}) to ${most[0].toFixed(1)} (${most[1]}) times as long.`,
  ];
}

const byName = (results: readonly DemoResult[], name: string): DemoResult =>
  results.find((result) => result.name === name)!;

const costOf = ({ settings }: DemoResult): string =>
  settings?.strategy === "self_align"
    ? "CRAFT's steps, which contrast the prompts with the answers of these,"
    : "CRAFT's steps hold a contrastive batch besides and";

function verdict({ of, better, digits }: Measure, result: DemoResult, other: DemoResult): -1 | 0 | 1 {
  const [a, b] = [of(result), of(other)];
  if (a.toFixed(digits) === b.toFixed(digits)) return 0;
  return a > b === (better === "higher") ? 1 : -1;
}

function againstSft(measure: Measure, craft: DemoResult, sft: DemoResult): string {
  const { what, of, digits } = measure;
  const verb = { [-1]: "does not reach", 0: "equals", 1: "beats" }[verdict(measure, craft, sft)];
  return `CRAFT ${verb} SFT on ${what}: ${of(craft).toFixed(digits)} against ${of(sft).toFixed(digits)}.`;
}

/** SFT's value of a measure, and those of all others, best first, by whether they beat it. */
function standing(measure: Measure, crafts: readonly DemoResult[], sft: DemoResult): string {
  const { what, of, better, digits } = measure;
  const sorted = [...crafts].sort((a, b) => (better === "higher" ? of(b) - of(a) : of(a) - of(b)));
  const group = (name: string, wanted: number): string[] => {
    const members = sorted.filter((craft) => verdict(measure, craft, sft) === wanted);
    if (members.length === 0) return [];
    return [`${name} ${members.map((r) => `${r.name} ${of(r).toFixed(digits)}`).join(", ")}`];
  };
  const groups = [...group("better:", 1), ...group("equal:", 0), ...group("worse:", -1)];
  return `${what[0]!.toUpperCase()}${what.slice(1)}: SFT has ${of(sft).toFixed(digits)}; ${groups.join("; ")}.`;
}
