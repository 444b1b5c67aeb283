/** @file Values of command line options, which arrive as text. */
import { CraftError } from "../errors.js";
import { parseDType, type DType } from "../torch/dtype.js";

/** What a command was given: options by their camelCase name. */
export type GivenOptions = Readonly<Record<string, unknown>>;

const flag = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

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

/** A number of at least `least`. */
export function numberOption(options: GivenOptions, name: string, fallback: number, least: number): number {
  const given = options[name] ?? fallback;
  const value = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
  if (typeof value === "number" && Number.isFinite(value) && value >= least) return value;
  throw new CraftError({ subject: flag(name), value: given, reason: `must be a number from ${least} on` });
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
