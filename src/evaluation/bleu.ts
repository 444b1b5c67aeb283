import { refuseUnknown, requireOneOf } from "../data/options.js";
import { CraftError } from "../errors.js";
import { bleuTokenizers, tokenizeForBleu, type BleuTokenizer } from "./bleu_tokenizers.js";
import { countNgrams } from "./ngrams.js";
import { checkSegments, referenceCount, type References } from "./segments.js";
import { implementation } from "./signature.js";

/** What is done about n-gram orders without a match: names and results are sacreBLEU's. */
export const bleuSmoothings = ["exp", "floor", "add-k", "none"] as const;
export type BleuSmoothing = (typeof bleuSmoothings)[number];

export interface BleuOptions {
  /** How segments are cut into tokens. Default `13a`. */
  readonly tokenize?: BleuTokenizer;
  /** Compare without regard to case. Default false. */
  readonly lowercase?: boolean;
  /**
   * Count only the n-gram orders that the hypotheses are long enough for. Default false, as for a corpus;
   * turn it on to score a single sentence.
   */
  readonly effectiveOrder?: boolean;
  /**
   * How n-gram orders without a match are smoothed (Chen and Cherry 2014). Default `exp`.
   * - `exp`: the k-th such order counts 1 / 2^k of a match (their method 3; mteval-v13a);
   * - `floor`: each counts `smoothValue` of a match (method 1);
   * - `add-k`: `smoothValue` is added to matches and n-grams of the orders above 1 (method 2);
   * - `none`: one such order makes the score 0.
   */
  readonly smooth?: BleuSmoothing;
  /** Of `floor`, where it is 0.1 by default, and `add-k`, where it is 1. Above 0. */
  readonly smoothValue?: number;
}

export interface BleuScore {
  /** BLEU, 0 to 100. */
  readonly score: number;
  /** Smoothed precision in percent for n = 1..4. */
  readonly precisions: readonly number[];
  /** Clipped n-gram matches, n = 1..4, before smoothing. */
  readonly matches: readonly number[];
  /** N-grams in the hypotheses, n = 1..4, before smoothing. */
  readonly totals: readonly number[];
  readonly brevityPenalty: number;
  /** Tokens in all hypotheses. */
  readonly hypothesisLength: number;
  /** Tokens in the closest reference of each hypothesis, summed. */
  readonly referenceLength: number;
  /** sacreBLEU's description of the setting, to be quoted beside the score. */
  readonly signature: string;
}

const maxOrder = 4;

/**
 * Corpus BLEU, equal to sacreBLEU's `corpus_bleu`.
 *
 * BLEU = BP · exp(mean over n = 1..4 of log p_n), p_n = 100 · clipped matches / n-grams,
 * BP = min(1, exp(1 - referenceLength / hypothesisLength)); for p_n without a match see `smooth`.
 *
 * @param hypotheses one detokenised text for each segment.
 * @param references for each segment its reference, or several.
 * @throws CraftError when the lists differ in length or are empty, a segment has no reference, or an option
 * is unknown.
 *
 * Source: Papineni et al. 2002.
 */
export function corpusBleu(
  hypotheses: readonly string[],
  references: References,
  options: BleuOptions = {},
): BleuScore {
  const settings = checkOptions(options);
  const { tokenize, lowercase, effectiveOrder } = settings;
  const segments = checkSegments(hypotheses, references);
  const words = (text: string) => tokenizeForBleu(lowercase ? text.toLowerCase() : text, tokenize);
  const matches = new Array<number>(maxOrder).fill(0);
  const totals = new Array<number>(maxOrder).fill(0);
  let hypothesisLength = 0;
  let referenceLength = 0;
  for (const { hypothesis, references: texts } of segments) {
    const candidate = words(hypothesis);
    const accepted = texts.map(words);
    hypothesisLength += candidate.length;
    referenceLength += closestLength(
      candidate.length,
      accepted.map((tokens) => tokens.length),
    );
    for (let order = 1; order <= maxOrder; order++) {
      const limits = largestCounts(accepted.map((tokens) => countNgrams(tokens, order)));
      for (const [ngram, count] of countNgrams(candidate, order)) {
        totals[order - 1]! += count;
        matches[order - 1]! += Math.min(count, limits.get(ngram) ?? 0);
      }
    }
  }
  const brevityPenalty = penalty(hypothesisLength, referenceLength);
  const { score, precisions } = smoothedScore(matches, totals, brevityPenalty, settings);
  const signature = [
    `nrefs:${referenceCount(segments)}`,
    `case:${lowercase ? "lc" : "mixed"}`,
    `eff:${effectiveOrder ? "yes" : "no"}`,
    `tok:${tokenize}`,
    `smooth:${settings.smooth}${smoothDefaults[settings.smooth] === undefined ? "" : `[${settings.smoothValue.toFixed(2)}]`}`,
    `version:${implementation()}`,
  ].join("|");
  return { score, precisions, matches, totals, brevityPenalty, hypothesisLength, referenceLength, signature };
}

const smoothDefaults: Readonly<Record<BleuSmoothing, number | undefined>> = {
  exp: undefined,
  floor: 0.1,
  "add-k": 1,
  none: undefined,
};

function checkOptions(options: BleuOptions): Required<BleuOptions> {
  refuseUnknown("corpusBleu", options, [
    "tokenize",
    "lowercase",
    "effectiveOrder",
    "smooth",
    "smoothValue",
  ] satisfies (keyof BleuOptions)[]);
  const { lowercase = false, effectiveOrder = false } = options;
  const tokenize = requireOneOf("tokenize", options.tokenize ?? "13a", bleuTokenizers);
  const smooth = requireOneOf("smooth", options.smooth ?? "exp", bleuSmoothings);
  const fallback = smoothDefaults[smooth];
  const smoothValue = options.smoothValue ?? fallback ?? 0;
  if (options.smoothValue !== undefined && (fallback === undefined || !(smoothValue > 0)))
    throw new CraftError({
      subject: "smoothValue",
      value: smoothValue,
      reason: fallback === undefined ? `smoothing "${smooth}" takes no value` : "must be a number above 0",
    });
  return { tokenize, lowercase, effectiveOrder, smooth, smoothValue };
}

/** Each n-gram's largest count in any one reference: the limit up to which matches count. */
function largestCounts(each: readonly Map<string, number>[]): Map<string, number> {
  const largest = new Map<string, number>();
  for (const counts of each) {
    for (const [ngram, count] of counts) largest.set(ngram, Math.max(count, largest.get(ngram) ?? 0));
  }
  return largest;
}

/** Of lengths equally near, the shorter. */
function closestLength(length: number, candidates: readonly number[]): number {
  return candidates.reduce((best, next) => {
    const nearer = Math.abs(next - length) - Math.abs(best - length);
    return nearer < 0 || (nearer === 0 && next < best) ? next : best;
  });
}

function penalty(hypothesisLength: number, referenceLength: number): number {
  if (hypothesisLength >= referenceLength) return 1;
  return hypothesisLength === 0 ? 0 : Math.exp(1 - referenceLength / hypothesisLength);
}

function smoothedScore(
  matches: readonly number[],
  totals: readonly number[],
  brevityPenalty: number,
  { effectiveOrder, smooth, smoothValue }: Required<BleuOptions>,
): { score: number; precisions: number[] } {
  const precisions = new Array<number>(maxOrder).fill(0);
  if (matches.every((count) => count === 0)) return { score: 0, precisions };
  let halvings = 1;
  let orders = 0;
  for (let i = 0; i < maxOrder; i++) {
    const added = smooth === "add-k" && i > 0 ? smoothValue : 0;
    const [matched, total] = [matches[i]! + added, totals[i]! + added];
    if (total === 0) break;
    orders = i + 1;
    if (matched === 0) halvings *= 2;
    const least = { exp: 1 / halvings, floor: smoothValue, "add-k": 0, none: 0 }[smooth];
    precisions[i] = (100 * (matched === 0 ? least : matched)) / total;
  }
  if (!effectiveOrder && orders < maxOrder) return { score: 0, precisions };
  const logs = precisions.slice(0, orders).reduce((sum, precision) => sum + Math.log(precision), 0);
  return { score: brevityPenalty * Math.exp(logs / orders), precisions };
}
