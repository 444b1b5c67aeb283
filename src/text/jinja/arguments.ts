import type { Arguments, Keywords, Value } from "./values.js";
import { TemplateError } from "./values.js";

/**
 * Puts positional and named arguments into the order of `names`; what was not given is undefined.
 * An argument too many, or of another name, is an error that names `what`.
 */
export function bind(
  what: string,
  names: readonly string[],
  args: Arguments,
  keywords: Keywords,
): readonly (Value | undefined)[] {
  if (args.length > names.length) {
    throw new TemplateError(`${what} takes at most ${names.length} argument(s), got ${args.length}`);
  }
  const bound: (Value | undefined)[] = names.map((_, i) => args[i]);
  for (const [name, value] of keywords) {
    const place = names.indexOf(name);
    if (place < 0) throw new TemplateError(`${what} got an unexpected keyword argument '${name}'`);
    if (place < args.length) throw new TemplateError(`${what} got multiple values for argument '${name}'`);
    bound[place] = value;
  }
  return bound;
}

export function textArgument(what: string, value: Value | undefined): string {
  if (typeof value === "string") return value;
  throw new TemplateError(`${what} must be a string`);
}

export function integerArgument(what: string, value: Value | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  throw new TemplateError(`${what} must be an integer`);
}
