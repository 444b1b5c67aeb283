/** @file The page of a demo that goes on from SFT. */
import type { HtmlReport, ReportSection } from "../../../report/index.js";
import { exampleIndices } from "../report.js";
import { literalsOf } from "./literals.js";
import type { AfterSftResult } from "./measure.js";
import { methodFacts } from "./methods.js";
import { summaryOf, tableOf, whatIsMeasured, type AfterSftOutcome } from "./outcome.js";

export function reportOf(outcome: AfterSftOutcome): HtmlReport {
  const { method, to, results, heldOut, lessons, training, sftSteps, steps, seconds, typescript } = outcome;
  const { title, lesson } = methodFacts[method];
  return {
    title: `Compiler messages, English to ${to}: SFT, ${title} and CRAFT-${title}`,
    summary: summaryOf(outcome),
    facts: {
      "messages to train on": training,
      [`${lesson === "preferences" ? "pairs of translations" : "prompts"} of these`]: lessons,
      "messages held out": heldOut.length,
      "pairs of translations of these": outcome.heldOutPreferences,
      "steps of SFT": sftSteps,
      [`steps of ${title}`]: steps,
      "seconds in all": Math.round(seconds),
      TypeScript: typescript,
      BLEU: results[0]?.signature ?? "",
    },
    sections: [
      { kind: "table", heading: "Scores", text: whatIsMeasured, ...tableOf(results) },
      {
        kind: "bars",
        heading: "Side by side",
        panels: [
          bars(results, "Preference accuracy", (r) => r.accuracy, 2),
          bars(results, "Reward", (r) => r.reward, 2),
          bars(results, "BLEU", (r) => r.bleu, 1),
          bars(results, "chrF", (r) => r.chrf, 1),
        ],
      },
      ...curvesOf(outcome),
      {
        kind: "examples",
        heading: "Six translations",
        examples: exampleIndices(heldOut, ({ text }) => literalsOf(text.en).length > 0).map((i) => ({
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
}

const bars = (
  results: readonly AfterSftResult[],
  title: string,
  value: (r: AfterSftResult) => number,
  digits: number,
) => ({
  title,
  values: results.map((r) => ({ name: r.name, value: value(r) })),
  better: "higher" as const,
  digits,
});

interface Curve {
  readonly heading: string;
  readonly yLabel: string;
  /** In the log; the first that is there. */
  readonly keys: readonly string[];
}

const curves: Readonly<Record<AfterSftOutcome["method"], readonly Curve[]>> = {
  dpo: [
    { heading: "DPO's loss in training", yLabel: "loss per pair", keys: ["loss/craft_dpo", "loss"] },
    { heading: "Accuracy in training", yLabel: "share of pairs", keys: ["rewards/accuracies"] },
  ],
  orpo: [
    { heading: "ORPO's loss in training", yLabel: "loss", keys: ["loss/craft_orpo", "loss"] },
    { heading: "Accuracy in training", yLabel: "share of pairs", keys: ["rewards/accuracies"] },
  ],
  grpo: [
    { heading: "Reward in training", yLabel: "mean of completions", keys: ["reward"] },
    { heading: "Divergence from the SFT model", yLabel: "nats per token", keys: ["kl"] },
  ],
  ppo: [
    { heading: "Reward in training", yLabel: "mean of completions", keys: ["objective/scores"] },
    { heading: "Divergence from the SFT model", yLabel: "nats per completion", keys: ["objective/kl"] },
  ],
};

const contrastive: Curve = {
  heading: "Contrastive loss in training",
  yLabel: "InfoNCE",
  keys: ["loss/craft_contrast"],
};

function curvesOf({ method, results }: AfterSftOutcome): ReportSection[] {
  return [...curves[method], contrastive].map(({ heading, yLabel, keys }) => ({
    kind: "curves",
    heading,
    xLabel: "optimiser step",
    yLabel,
    series: results
      .map(({ name, log }) => ({
        name,
        points: log.flatMap((entry) => {
          const key = keys.find((one) => entry[one] !== undefined);
          const [x, y] = [entry["step"], key === undefined ? undefined : entry[key]];
          return x === undefined || y === undefined ? [] : [{ x, y }];
        }),
      }))
      .filter(({ points }) => points.length > 0),
  }));
}
