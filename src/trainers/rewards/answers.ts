/** @file Rewards for the right answer. */
import { CraftError } from "../../errors.js";
import { rewardColumn, type NamedReward, type RewardInput } from "./reward.js";

export interface AnswerOptions {
  /** Column of the right answers; rows where it is null are not judged. Default "answer". */
  readonly column?: string | undefined;
  /**
   * Finds the answer in a completion: a regular expression whose first group (or whole match) it is; the last match
   * counts. By default the whole completion, or of numbers the last one in it.
   */
  readonly extract?: RegExp | string | undefined;
}

export interface ExactAnswerOptions extends AnswerOptions {
  /** Whether upper and lower case are different. Default false. */
  readonly caseSensitive?: boolean | undefined;
}

/** 1 where the answer is the one in the column, apart from white space around it and, by default, case; else 0. */
export function exactAnswer(options: ExactAnswerOptions = {}): NamedReward {
  const { caseSensitive = false } = options;
  const normal = (text: string): string => {
    const plain = text.normalize("NFC").trim().replaceAll(/\s+/gu, " ");
    return caseSensitive ? plain : plain.toLowerCase();
  };
  const find = finder("exact_answer", options.extract);
  return judged("exact_answer", options, (text, expected) => {
    const found = find === undefined ? text : find(text);
    return found !== undefined && normal(found) === normal(textOf(expected)) ? 1 : 0;
  });
}

export interface NumericAnswerOptions extends AnswerOptions {
  /** Greatest difference, relative to the right number where that is above 1. Default 1e-6. */
  readonly tolerance?: number | undefined;
}

/**
 * 1 where the last number of the completion (or of what `extract` finds) is the one in the column; else 0. Numbers may
 * have a sign, commas between thousands, a fraction such as 3/4, an exponent or a percent sign. Rows whose column has
 * no number are not judged.
 */
export function numericAnswer(options: NumericAnswerOptions = {}): NamedReward {
  const { tolerance = 1e-6 } = options;
  if (!(tolerance >= 0))
    throw new CraftError({
      subject: "numeric_answer, tolerance",
      value: tolerance,
      reason: "must be 0 or more",
    });
  const find = finder("numeric_answer", options.extract);
  return judged("numeric_answer", options, (text, expected) => {
    const right = typeof expected === "number" ? expected : lastNumber(textOf(expected));
    if (right === undefined) return null;
    const found = find === undefined ? text : find(text);
    const given = found === undefined ? undefined : lastNumber(found);
    if (given === undefined) return 0;
    return Math.abs(given - right) <= tolerance * Math.max(1, Math.abs(right)) ? 1 : 0;
  });
}

function judged(
  name: string,
  { column = "answer" }: AnswerOptions,
  judge: (text: string, expected: unknown) => number | null,
): NamedReward {
  return {
    name,
    score: (input: RewardInput) => {
      const expected = rewardColumn(input, column, name);
      return input.texts.map((text, i) => {
        const value = expected[i];
        return value === null || value === undefined ? null : judge(text, value);
      });
    },
  };
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** The last match of a pattern: its first group, or all of it. */
function finder(
  reward: string,
  pattern: RegExp | string | undefined,
): ((text: string) => string | undefined) | undefined {
  if (pattern === undefined) return undefined;
  const expression = regularExpression(reward, "extract", pattern, "g");
  return (text) => {
    const last = [...text.matchAll(expression)].at(-1);
    return last === undefined ? undefined : (last[1] ?? last[0]);
  };
}

/** @throws CraftError for a text that is no regular expression. */
export function regularExpression(
  reward: string,
  option: string,
  pattern: RegExp | string,
  more = "",
): RegExp {
  const [source, flags] =
    typeof pattern === "string" ? [pattern, "u"] : [pattern.source, pattern.flags.replace(/[gy]/gu, "")];
  try {
    return new RegExp(source, flags + more);
  } catch (cause) {
    throw new CraftError({
      subject: `reward ${reward}, ${option}`,
      value: source,
      reason: `is no regular expression: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}

const numbers =
  /(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?(?:\s*\/\s*\d+(?:\.\d+)?)?\s*%?/gu;

/** The last number in a text; undefined if there is none. */
export function lastNumber(text: string): number | undefined {
  const found = [...text.matchAll(numbers)].at(-1)?.[0];
  if (found === undefined) return undefined;
  const plain = found.replaceAll(/[,\s]/gu, "");
  const percent = plain.endsWith("%");
  const [top, bottom] = (percent ? plain.slice(0, -1) : plain).split("/");
  const value = Number(top) / (bottom === undefined ? 1 : Number(bottom)) / (percent ? 100 : 1);
  return Number.isFinite(value) ? value : undefined;
}
