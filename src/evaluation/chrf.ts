import { refuseUnknown } from "../data/options.js";
import { CraftError } from "../errors.js";
import { commonNgrams, countNgrams, totalNgrams } from "./ngrams.js";
import { checkSegments, referenceCount, type References } from "./segments.js";
import { implementation } from "./signature.js";
import { splitWords } from "./white_space.js";

export interface ChrfOptions {
  /** Longest n-grams of characters. Default 6. */
  readonly charOrder?: number;
  /** Longest n-grams of words: 0 (default) is chrF, 2 is chrF++. */
  readonly wordOrder?: number;
  /** How much more recall weighs than precision. Default 2. */
  readonly beta?: number;
  /** Compare without regard to case. Default false. */
  readonly lowercase?: boolean;
  /** White space counts as a character. Default false. */
  readonly whitespace?: boolean;
  /** Average over all orders, as chrF++.py and NLTK do, not only over those that occur. Default false. */
  readonly epsSmoothing?: boolean;
}

export interface ChrfScore {
  /** chrF, 0 to 100. */
  readonly score: number;
  /** As sacreBLEU calls it: `chrF2` with the value of beta, and a plus sign for each order of words. */
  readonly name: string;
  /** sacreBLEU's description of the setting, to be quoted beside the score. */
  readonly signature: string;
}

/** N-grams of one order: in the hypothesis, in the reference, in both. */
type Statistics = readonly (readonly [hypothesis: number, reference: number, common: number])[];

/**
 * Corpus chrF, or chrF++ with `wordOrder: 2`, equal to sacreBLEU's `corpus_chrf`. Counts of n-grams are summed over the
 * segments, each compared with the reference that gives it the best score. With P and R the means, over the orders that
 * occur on both sides, of common / hypothesis and common / reference n-grams:
 *
 * chrF = 100 · (1 + beta²) · P · R / (beta² · P + R)
 *
 * @param hypotheses one detokenised text for each segment.
 * @param references for each segment its reference, or several.
 * @throws CraftError when the lists differ in length or are empty, a segment has no reference, or an option
 * is unknown or out of range.
 *
 * Source: Popović 2015, 2017; sacreBLEU 2.6.
 */
export function corpusChrf(
  hypotheses: readonly string[],
  references: References,
  options: ChrfOptions = {},
): ChrfScore {
  const settings = checkOptions(options);
  const segments = checkSegments(hypotheses, references);
  const sums = Array.from(
    { length: settings.charOrder + settings.wordOrder },
    (): [number, number, number] => [0, 0, 0],
  );
  for (const { hypothesis, references: texts } of segments) {
    const own = ngramsOf(hypothesis, settings);
    let best: { readonly score: number; readonly statistics: Statistics } | undefined;
    for (const text of texts) {
      const statistics = compare(own, ngramsOf(text, settings));
      const score = fScore(statistics, settings);
      if (best === undefined || score > best.score) best = { score, statistics };
    }
    best!.statistics.forEach((counts, order) => counts.forEach((count, i) => (sums[order]![i]! += count)));
  }
  const { charOrder, wordOrder, beta, lowercase, whitespace, epsSmoothing } = settings;
  const signature = [
    `nrefs:${referenceCount(segments)}`,
    `case:${lowercase ? "lc" : "mixed"}`,
    `eff:${epsSmoothing ? "no" : "yes"}`,
    `nc:${charOrder}`,
    `nw:${wordOrder}`,
    `space:${whitespace ? "yes" : "no"}`,
    `version:${implementation()}`,
  ].join("|");
  return { score: fScore(sums, settings), name: `chrF${beta}${"+".repeat(wordOrder)}`, signature };
}

function checkOptions(options: ChrfOptions): Required<ChrfOptions> {
  refuseUnknown("corpusChrf", options, [
    "charOrder",
    "wordOrder",
    "beta",
    "lowercase",
    "whitespace",
    "epsSmoothing",
  ] satisfies (keyof ChrfOptions)[]);
  const { charOrder = 6, wordOrder = 0, beta = 2 } = options;
  for (const [subject, value, least] of [
    ["charOrder", charOrder, 1],
    ["wordOrder", wordOrder, 0],
    ["beta", beta, 1],
  ] as const) {
    if (Number.isSafeInteger(value) && value >= least) continue;
    throw new CraftError({ subject, value, reason: `must be a whole number from ${least} on` });
  }
  const { lowercase = false, whitespace = false, epsSmoothing = false } = options;
  return { charOrder, wordOrder, beta, lowercase, whitespace, epsSmoothing };
}

/** N-grams of characters of each order, then those of words. */
function ngramsOf(text: string, settings: Required<ChrfOptions>): Map<string, number>[] {
  const segment = settings.lowercase ? text.toLowerCase() : text;
  const characters = Array.from(settings.whitespace ? segment : splitWords(segment).join(""));
  const words = settings.wordOrder > 0 ? splitWords(segment).flatMap(punctuationApart) : [];
  return [
    ...Array.from({ length: settings.charOrder }, (_, i) => countNgrams(characters, i + 1, "")),
    ...Array.from({ length: settings.wordOrder }, (_, i) => countNgrams(words, i + 1)),
  ];
}

/** A mark at the end of a word stands alone, else one at its start: never both. */
function punctuationApart(word: string): string[] {
  const characters = Array.from(word);
  if (characters.length < 2) return [word];
  if (isPunctuation(characters.at(-1)!)) return [characters.slice(0, -1).join(""), characters.at(-1)!];
  if (isPunctuation(characters[0]!)) return [characters[0]!, characters.slice(1).join("")];
  return [word];
}

const isPunctuation = (character: string): boolean => /^[!-/:-@[-`{-~]$/.test(character);

function compare(
  hypothesis: readonly Map<string, number>[],
  reference: readonly Map<string, number>[],
): Statistics {
  return hypothesis.map((own, order) => {
    const other = reference[order]!;
    // An order that the reference is too short for does not count.
    return [other.size > 0 ? totalNgrams(own) : 0, totalNgrams(other), commonNgrams(own, other)];
  });
}

function fScore(statistics: Statistics, { beta, epsSmoothing }: Required<ChrfOptions>): number {
  const nothing = 1e-16;
  const factor = beta ** 2;
  const f = (precision: number, recall: number): number =>
    ((1 + factor) * precision * recall) / (factor * precision + recall);
  let [sum, precisions, recalls, orders] = [0, 0, 0, 0];
  for (const [hypothesis, reference, common] of statistics) {
    const precision = hypothesis > 0 ? common / hypothesis : nothing;
    const recall = reference > 0 ? common / reference : nothing;
    sum += precision + recall > 0 ? f(precision, recall) : nothing;
    if (hypothesis === 0 || reference === 0) continue;
    precisions += precision;
    recalls += recall;
    orders++;
  }
  if (epsSmoothing) return (100 * sum) / statistics.length;
  return precisions + recalls > 0 ? 100 * f(precisions / orders, recalls / orders) : 0;
}
