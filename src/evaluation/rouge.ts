import { requireOneOf } from "../data/options.js";
import { commonNgrams, countNgrams, totalNgrams } from "./ngrams.js";
import { checkSegments, type References } from "./segments.js";

/** Names are rouge_score's. */
export const rougeKinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"] as const;
export type RougeKind = (typeof rougeKinds)[number];

/** Each 0 to 1. */
export interface RougeScore {
  readonly precision: number;
  readonly recall: number;
  /** 2PR / (P + R) */
  readonly f1: number;
}

/**
 * ROUGE of one text, equal to rouge_score's without its stemmer. Words are runs of `a-z0-9` in the lowercased text;
 * other scripts have none and score 0.
 * - `rouge1`, `rouge2`: common words or pairs of words over those of the text (precision) and of the reference (recall);
 * - `rougeL`: the length of the longest common subsequence of words over theirs;
 * - `rougeLsum`: the same for each line of the reference with all lines of the text together, each word counted once.
 *
 * With several references the one with the best F1 counts.
 *
 * @throws CraftError without a reference, and for an unknown kind.
 *
 * Source: Lin 2004; rouge_score 0.1.2.
 */
export function rouge(
  hypothesis: string,
  references: string | readonly string[],
  kind: RougeKind = "rougeL",
): RougeScore {
  requireOneOf("kind", kind, rougeKinds);
  const [segment] = checkSegments([hypothesis], [references]);
  const scores = segment!.references.map((reference) => scorers[kind](hypothesis, reference));
  return scores.reduce((best, score) => (score.f1 > best.f1 ? score : best));
}

/** The mean of {@link rouge} over segments. */
export function corpusRouge(
  hypotheses: readonly string[],
  references: References,
  kind: RougeKind = "rougeL",
): RougeScore {
  const segments = checkSegments(hypotheses, references);
  const scores = segments.map((segment) => rouge(segment.hypothesis, segment.references, kind));
  const mean = (part: (score: RougeScore) => number): number =>
    scores.reduce((sum, score) => sum + part(score), 0) / scores.length;
  return { precision: mean((s) => s.precision), recall: mean((s) => s.recall), f1: mean((s) => s.f1) };
}

type Scorer = (hypothesis: string, reference: string) => RougeScore;

const scorers: Readonly<Record<RougeKind, Scorer>> = {
  rouge1: (hypothesis, reference) => ngramScore(hypothesis, reference, 1),
  rouge2: (hypothesis, reference) => ngramScore(hypothesis, reference, 2),
  rougeL: (hypothesis, reference) => {
    const [own, other] = [wordsOf(hypothesis), wordsOf(reference)];
    return scoreOf(commonPlaces(other, own).length, own.length, other.length);
  },
  rougeLsum: summaryScore,
};

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];

function scoreOf(hits: number, hypothesis: number, reference: number): RougeScore {
  const precision = hits / Math.max(hypothesis, 1);
  const recall = hits / Math.max(reference, 1);
  const f1 = hits > 0 ? (2 * precision * recall) / (precision + recall) : 0;
  return { precision, recall, f1 };
}

function ngramScore(hypothesis: string, reference: string, order: number): RougeScore {
  const own = countNgrams(wordsOf(hypothesis), order);
  const other = countNgrams(wordsOf(reference), order);
  return scoreOf(commonNgrams(own, other), totalNgrams(own), totalNgrams(other));
}

function summaryScore(hypothesis: string, reference: string): RougeScore {
  const [own, other] = [hypothesis, reference].map((text) => text.split("\n").map(wordsOf)) as [
    string[][],
    string[][],
  ];
  const left = countNgrams(own.flat(), 1);
  let hits = 0;
  for (const line of other) {
    const places = new Set(own.flatMap((words) => commonPlaces(line, words)));
    // A word is a hit as often as the text has it. The reference has each place once, so its side needs no count.
    for (const place of [...places].sort((a, b) => a - b)) {
      const remaining = left.get(line[place]!) ?? 0;
      if (remaining === 0) continue;
      left.set(line[place]!, remaining - 1);
      hits++;
    }
  }
  return scoreOf(hits, own.flat().length, other.flat().length);
}

/** Places in `line` of one longest common subsequence; of several, the one that rouge_score's walk back finds. */
function commonPlaces(line: readonly string[], words: readonly string[]): number[] {
  const width = words.length + 1;
  const lengths = new Uint32Array((line.length + 1) * width);
  for (let i = 1; i <= line.length; i++)
    for (let j = 1; j <= words.length; j++)
      lengths[i * width + j] =
        line[i - 1] === words[j - 1]
          ? lengths[(i - 1) * width + j - 1]! + 1
          : Math.max(lengths[(i - 1) * width + j]!, lengths[i * width + j - 1]!);
  const places: number[] = [];
  let [i, j] = [line.length, words.length];
  while (i > 0 && j > 0) {
    if (line[i - 1] === words[j - 1]) {
      places.push(--i);
      j--;
    } else if (lengths[i * width + j - 1]! > lengths[(i - 1) * width + j]!) j--;
    else i--;
  }
  return places.reverse();
}
