/** @file Values of command line options, which arrive as text. */
import { requireOneOf } from "../data/options.js";
import { CraftError } from "../errors.js";
import { parseDType, type DType } from "../torch/dtype.js";
import { optionName } from "../training/arguments.js";

/** What a command was given: options by their camelCase name. */
export type GivenOptions = Readonly<Record<string, unknown>>;

/** `maxNewTokens` to `--max-new-tokens`. */
export const flag = (name: string): string => `--${optionName(name).replaceAll("_", "-")}`;

export function optionalText(options: GivenOptions, name: string): string | undefined {
  const value = options[name];
  if (value === undefined || typeof value === "string") return value;
  throw new CraftError({ subject: flag(name), value, reason: "must be a text" });
}

export function requiredText(options: GivenOptions, name: string): string {
  const value = optionalText(options, name);
  if (value !== undefined) return value;
  throw new CraftError({ subject: flag(name), reason: "is missing" });
}

/** Texts of an option that takes several; undefined where it was not given. */
export function optionalTexts(options: GivenOptions, name: string): readonly string[] | undefined {
  const value = options[name];
  if (value === undefined || typeof value === "string") return value === undefined ? undefined : [value];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new CraftError({ subject: flag(name), value, reason: "must be texts" });
}

/** One of some words; undefined where it was not given. */
export function choiceOption<T extends string>(
  options: GivenOptions,
  name: string,
  accepted: readonly T[],
): T | undefined {
  const value = optionalText(options, name);
  return value === undefined ? undefined : requireOneOf(flag(name), value, accepted);
}

/** As {@link numberOption}; undefined where it was not given. */
export const optionalNumber = (options: GivenOptions, name: string, least: number): number | undefined =>
  options[name] === undefined ? undefined : numberOption(options, name, least, least);

/** As {@link integerOption}; undefined where it was not given. */
export const optionalInteger = (options: GivenOptions, name: string, least: number): number | undefined =>
  options[name] === undefined ? undefined : integerOption(options, name, least, least);

/** A number of at least `least`. */
export function numberOption(options: GivenOptions, name: string, fallback: number, least: number): number {
  const given = options[name] ?? fallback;
  const value = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
  if (typeof value === "number" && Number.isFinite(value) && value >= least) return value;
  const range = least === -Infinity ? "" : ` from ${least} on`;
  throw new CraftError({ subject: flag(name), value: given, reason: `must be a number${range}` });
}

/** A whole number of at least `least`. */
export function integerOption(options: GivenOptions, name: string, fallback: number, least: number): number {
  const value = numberOption(options, name, fallback, least);
  if (Number.isSafeInteger(value)) return value;
  throw new CraftError({
    subject: flag(name),
    value: options[name],
    reason: `must be a whole number from ${least} on`,
  });
}

export function dtypeOption(options: GivenOptions): DType | "auto" {
  const value = optionalText(options, "dtype") ?? "auto";
  return value === "auto" ? value : parseDType(value, flag("dtype"));
}
