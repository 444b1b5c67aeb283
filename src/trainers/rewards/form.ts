/** @file Rewards for the form of an answer: its pattern, its length, its JSON. */
import { z } from "zod";
import { CraftError } from "../../errors.js";
import { regularExpression } from "./answers.js";
import { rewardColumn, type NamedReward, type RewardInput } from "./reward.js";

/** Thoughts in `<think>`, then an answer, as TRL's think_format_reward has it. */
export const thinkPattern = /^<think>(?!.*<think>)(.*?)<\/think>.*$/s;

export interface FormatOptions {
  /** Of a whole completion; with `^` and `$` in their place if it is to be one. Default: {@link thinkPattern}. */
  readonly pattern?: RegExp | string | undefined;
}

/** 1 for completions that match a regular expression, else 0. */
export function formatReward({ pattern = thinkPattern }: FormatOptions = {}): NamedReward {
  const expression = regularExpression("format", "pattern", pattern);
  return { name: "format", score: ({ texts }) => texts.map((text) => (expression.test(text) ? 1 : 0)) };
}

export const lengthUnits = ["tokens", "characters", "words"] as const;
export type LengthUnit = (typeof lengthUnits)[number];

export interface LengthOptions {
  /** Default 0. */
  readonly min?: number | undefined;
  /** Default: no limit. */
  readonly max?: number | undefined;
  /** How far beyond a limit the reward has fallen from 1 to 0, evenly. Default 0: at once. */
  readonly margin?: number | undefined;
  /** Default "tokens". */
  readonly unit?: LengthUnit | undefined;
}

/** 1 for completions of `min` to `max` tokens, characters or words; less beyond, and 0 from the margin's end on. */
export function lengthReward(options: LengthOptions): NamedReward {
  const { min = 0, max = Infinity, margin = 0, unit = "tokens" } = options;
  if (!(min >= 0 && max >= min && margin >= 0))
    throw new CraftError({
      subject: "reward length",
      value: { min, max, margin },
      reason: "min and margin must be 0 or more, and max not below min",
    });
  const measure = measureOf(unit);
  return {
    name: "length",
    score: (input) =>
      measure(input).map((length) => {
        const beyond = Math.max(min - length, length - max, 0);
        if (beyond === 0) return 1;
        return margin === 0 ? 0 : Math.max(0, 1 - beyond / margin);
      }),
  };
}

function measureOf(unit: LengthUnit): (input: RewardInput) => number[] {
  if (unit === "tokens") return ({ completionIds }) => completionIds.map(({ length }) => length);
  if (unit === "characters") return ({ texts }) => texts.map((text) => Array.from(text).length);
  return ({ texts }) => texts.map((text) => text.split(/\s+/u).filter((word) => word !== "").length);
}

export interface SoftOverlongOptions {
  /** Tokens from which on the punishment is -1. */
  readonly maxCompletionLength: number;
  /** How many tokens before that it begins. */
  readonly softPunishCache: number;
}

/** 0 for completions short enough, falling to -1 over the last `softPunishCache` tokens (DAPO, Yu et al. 2025). */
export function softOverlongPunishment(options: SoftOverlongOptions): NamedReward {
  const { maxCompletionLength: most, softPunishCache: cache } = options;
  if (!(cache > 0 && most >= cache))
    throw new CraftError({
      subject: "reward soft_overlong_punishment",
      value: options,
      reason: "softPunishCache must be above 0 and at most maxCompletionLength",
    });
  return {
    name: "soft_overlong_punishment",
    score: ({ completionIds }) =>
      completionIds.map(({ length }) => {
        const free = most - cache;
        return length <= free ? 0 : length <= most ? (free - length) / cache : -1;
      }),
  };
}

export interface JsonSchemaOptions {
  /** A JSON schema, or the column that has one for each row (as an object or as its JSON). */
  readonly schema?: object | undefined;
  readonly column?: string | undefined;
  /** Reward of JSON that is not as the schema says. Default 0. */
  readonly parseable?: number | undefined;
}

/**
 * 1 for completions that are JSON as a schema (draft 4, 7 or 2020-12) says, `parseable` for other JSON, else 0. A
 * completion may have its JSON in a code block. Without a schema any JSON will do.
 */
export function jsonSchemaReward(options: JsonSchemaOptions = {}): NamedReward {
  const { schema, column, parseable = 0 } = options;
  if (schema !== undefined && column !== undefined)
    throw new CraftError({
      subject: "reward json_schema",
      reason: "schema and column are both given",
      remedy: "Give one.",
    });
  const fixed = schema === undefined ? undefined : validatorOf(schema);
  const name = "json_schema";
  return {
    name,
    score: (input) => {
      const schemas = column === undefined ? undefined : rewardColumn(input, column, name);
      return input.texts.map((text, i) => {
        const own = schemas?.[i];
        if (schemas !== undefined && (own === null || own === undefined)) return null;
        const validate = own === undefined ? fixed : validatorOf(own);
        const value = parsedJson(text);
        if (value === undefined) return 0;
        return validate === undefined || validate(value) ? 1 : parseable;
      });
    },
  };
}

/** @throws CraftError for what is no schema, or has what is not supported. */
function validatorOf(schema: unknown): (value: unknown) => boolean {
  const object: unknown = typeof schema === "string" ? parsedJson(schema) : schema;
  const isSchema = typeof object === "boolean" || (typeof object === "object" && object !== null);
  try {
    if (!isSchema) throw new TypeError("it is neither an object nor a boolean");
    const type = z.fromJSONSchema(object as z.core.JSONSchema.JSONSchema | boolean);
    return (value) => type.safeParse(value).success;
  } catch (cause) {
    throw new CraftError({
      subject: "reward json_schema, schema",
      value: schema,
      reason: `cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}

/** The JSON of a text, or of the code block in it; undefined if there is none. */
function parsedJson(text: string): unknown {
  const block = /```(?:json)?\s*\n(.*?)```/su.exec(text)?.[1];
  for (const candidate of [text, block])
    if (candidate !== undefined)
      try {
        return JSON.parse(candidate) as unknown;
      } catch {
        continue;
      }
  return undefined;
}
