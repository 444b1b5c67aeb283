/** @file Python's two ways of filling a text: `"%s" % x` and `"{}".format(x)`. */

import type { Arguments, Keywords, Value } from "./values.js";
import { asNumber, repr, str, TemplateError, typeName } from "./values.js";

/** `%s %r %d %i %f %x %X %%`, with flags, width and precision. */
export function percentFormat(pattern: string, values: readonly Value[]): string {
  let used = 0;
  const text = pattern.replace(
    /%([-0+ ]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (_all, flags: string, width: string, precision: string | undefined, kind: string) => {
      if (kind === "%") return "%";
      if (used >= values.length) throw new TemplateError("not enough arguments for format string");
      const value = values[used++] ?? null;
      return pad(percentValue(value, kind, precision, flags), Number(width || 0), flags);
    },
  );
  if (used < values.length) throw new TemplateError("not all arguments converted during string formatting");
  return text;
}

function percentValue(value: Value, kind: string, precision: string | undefined, flags: string): string {
  if (kind === "s" || kind === "r") {
    const text = kind === "s" ? str(value) : repr(value);
    return precision === undefined ? text : Array.from(text).slice(0, Number(precision)).join("");
  }
  const number = asNumber(value);
  if (number === undefined)
    throw new TemplateError(`%${kind} format: a real number is required, not ${typeName(value)}`);
  const sign = number >= 0 && flags.includes("+") ? "+" : "";
  switch (kind) {
    case "d":
    case "i":
      return sign + String(Math.trunc(number));
    case "f":
      return sign + number.toFixed(Number(precision ?? 6));
    case "x":
      return sign + number.toString(16);
    case "X":
      return sign + number.toString(16).toUpperCase();
    default:
      throw new TemplateError(`unsupported format character '${kind}'`);
  }
}

function pad(text: string, width: number, flags: string): string {
  if (flags.includes("-")) return text.padEnd(width);
  if (!flags.includes("0")) return text.padStart(width);
  const sign = /^[-+]/.exec(text)?.[0] ?? "";
  return sign + text.slice(sign.length).padStart(width - sign.length, "0");
}

/** `{}`, `{0}`, `{name}`; format specifications are refused by name. */
export function braceFormat(pattern: string, args: Arguments, keywords: Keywords): string {
  let next = 0;
  return pattern.replace(/\{\{|\}\}|\{([^{}]*)\}/g, (all, field: string | undefined) => {
    if (field === undefined) return all.slice(1);
    const value = /^\d*$/.test(field) ? args[field === "" ? next++ : Number(field)] : keywords.get(field);
    if (value !== undefined) return str(value);
    throw new TemplateError(
      /[.:![]/.test(field)
        ? `format field '{${field}}' is not supported: use plain fields such as {} or {name}`
        : `Replacement '{${field}}' has no argument`,
    );
  });
}

/** Python's rounding of halves to the even neighbour, which `round` and `int` rest on. */
export function roundHalfEven(value: number, digits: number): number {
  const scale = 10 ** digits;
  const scaled = value * scale;
  const floor = Math.floor(scaled);
  const isHalf = scaled - floor === 0.5;
  return (isHalf ? floor + (floor % 2) : Math.round(scaled)) / scale;
}
