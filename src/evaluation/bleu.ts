import { createRequire } from "node:module";
import { CraftError } from "../errors.js";
import { bleuTokenizers, tokenizeForBleu, type BleuTokenizer } from "./bleu_tokenizers.js";

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
}

export interface BleuScore {
  /** BLEU, 0 to 100. */
  readonly score: number;
  /** Smoothed precision in percent for n = 1..4. */
  readonly precisions: readonly number[];
  /** Clipped n-gram matches, n = 1..4. */
  readonly matches: readonly number[];
  /** N-grams in the hypotheses, n = 1..4. */
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
 * Corpus BLEU with exponential smoothing, equal to sacreBLEU's `corpus_bleu`.
 *
 * BLEU = BP · exp(mean over n = 1..4 of log p_n), p_n = 100 · clipped matches / n-grams,
 * BP = min(1, exp(1 - referenceLength / hypothesisLength)); the k-th order without a match gets
 * p_n = 100 / (2^k · n-grams).
 *
 * @param hypotheses one detokenised text for each segment.
 * @param references for each segment its reference, or several.
 * @throws CraftError when the lists differ in length or are empty, a segment has no reference, or an option
 * is unknown.
 *
 * Source: Papineni et al. 2002; smoothing as in mteval-v13a (method 3 of Chen and Cherry 2014).
 */
export function corpusBleu(
  hypotheses: readonly string[],
  references: readonly (string | readonly string[])[],
  options: BleuOptions = {},
): BleuScore {
  const { tokenize, lowercase, effectiveOrder } = checkOptions(options);
  if (hypotheses.length !== references.length || hypotheses.length === 0) {
    throw new CraftError({
      subject: "hypotheses and references",
      value: [hypotheses.length, references.length],
      reason: "BLEU needs as many entries in the one as in the other, and at least one",
      remedy: "Pass one reference, or one list of references, for each hypothesis",
    });
  }
  const words = (text: string) => tokenizeForBleu(lowercase ? text.toLowerCase() : text, tokenize);
  const matches = new Array<number>(maxOrder).fill(0);
  const totals = new Array<number>(maxOrder).fill(0);
  const referenceCounts = new Set<number>();
  let hypothesisLength = 0;
  let referenceLength = 0;
  for (const [row, hypothesis] of hypotheses.entries()) {
    const given = references[row]!;
    const texts = typeof given === "string" ? [given] : given;
    if (texts.length === 0) {
      throw new CraftError({
        subject: `references[${row}]`,
        value: [],
        reason: "a segment needs a reference",
      });
    }
    referenceCounts.add(texts.length);
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
  const { score, precisions } = smoothedScore(matches, totals, brevityPenalty, effectiveOrder);
  const [onlyCount] = referenceCounts;
  const signature = [
    `nrefs:${referenceCounts.size === 1 ? onlyCount! : "var"}`,
    `case:${lowercase ? "lc" : "mixed"}`,
    `eff:${effectiveOrder ? "yes" : "no"}`,
    `tok:${tokenize}`,
    "smooth:exp",
    `version:${implementation()}`,
  ].join("|");
  return { score, precisions, matches, totals, brevityPenalty, hypothesisLength, referenceLength, signature };
}

function checkOptions(options: BleuOptions): Required<BleuOptions> {
  const known = ["tokenize", "lowercase", "effectiveOrder"];
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new CraftError({
      subject: unknown,
      reason: "not an option of corpusBleu",
      remedy: `Options are ${known.join(", ")}`,
    });
  }
  const { tokenize = "13a", lowercase = false, effectiveOrder = false } = options;
  if (!bleuTokenizers.includes(tokenize)) {
    throw new CraftError({
      subject: "tokenize",
      value: tokenize,
      reason: "not a known BLEU tokenizer",
      remedy: `Use one of ${bleuTokenizers.join(", ")}`,
    });
  }
  return { tokenize, lowercase, effectiveOrder };
}

function countNgrams(tokens: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let start = 0; start + order <= tokens.length; start++) {
    const ngram = tokens.slice(start, start + order).join(" "); // no token holds a space
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
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
  effectiveOrder: boolean,
): { score: number; precisions: number[] } {
  const precisions = new Array<number>(maxOrder).fill(0);
  if (matches.every((count) => count === 0)) return { score: 0, precisions };
  let halvings = 1;
  let orders = 0;
  for (let i = 0; i < maxOrder && totals[i]! > 0; i++) {
    orders = i + 1;
    if (matches[i] === 0) halvings *= 2;
    precisions[i] = (100 * (matches[i] === 0 ? 1 / halvings : matches[i]!)) / totals[i]!;
  }
  if (!effectiveOrder && orders < maxOrder) return { score: 0, precisions };
  const logs = precisions.slice(0, orders).reduce((sum, precision) => sum + Math.log(precision), 0);
  return { score: brevityPenalty * Math.exp(logs / orders), precisions };
}

function implementation(): string {
  const manifest: unknown = createRequire(import.meta.url)("../../package.json");
  const version =
    typeof manifest === "object" && manifest !== null && "version" in manifest && manifest.version;
  return `contrastive-ft-${typeof version === "string" ? version : "unknown"}`;
}
