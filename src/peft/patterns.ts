/** @file Names of modules in PEFT's options, and the regular expressions among them, which are Python's. */
import { CraftError } from "../errors.js";

/** A regular expression of Python, as far as JavaScript has the same. @throws CraftError where it has not. */
function pythonRegExp(source: string, option: string): RegExp {
  const flags = /^\(\?([is]+)\)/.exec(source);
  const body = source
    .slice(flags?.[0].length ?? 0)
    .replaceAll("(?P<", "(?<")
    .replaceAll(/\(\?P=(\w+)\)/g, "\\k<$1>")
    .replaceAll("\\A", "^")
    .replaceAll("\\Z", "$");
  try {
    return new RegExp(body, flags?.[1] ?? "");
  } catch (cause) {
    throw new CraftError({
      subject: option,
      value: source,
      reason: `is not a regular expression that can be used here (${cause instanceof Error ? cause.message : String(cause)})`,
      cause,
    });
  }
}

/** Whether a text as a whole matches, as Python's `re.fullmatch`. */
const fullMatch = (source: string, text: string, option: string): boolean => {
  const found = pythonRegExp(`${flagsOf(source)}^(?:${source.slice(flagsOf(source).length)})$`, option);
  return found.test(text);
};

const flagsOf = (source: string): string => /^\(\?[is]+\)/.exec(source)?.[0] ?? "";

/** Whether a path is one of some names, ends in one after a dot, or matches a regular expression as a whole. */
export const isNamed = (path: string, names: readonly string[] | string, option: string): boolean =>
  typeof names === "string"
    ? fullMatch(names, path, option)
    : names.some((name) => path === name || path.endsWith(`.${name}`));

/** What the first pattern that matches the end of a path says; `rank_pattern` and `alpha_pattern` of PEFT. */
export function byPattern(
  patterns: Readonly<Record<string, number>>,
  path: string,
  option: string,
): number | undefined {
  for (const [pattern, value] of Object.entries(patterns))
    if (pythonRegExp(`^(?:.*\\.)?(?:${pattern})$`, option).test(path)) return value;
  return undefined;
}

/** Whether a module lies in one of those to be saved whole, where PEFT attaches no adapter. */
export const isInSaved = (path: string, saved: readonly string[]): boolean =>
  saved.some((name) => pythonRegExp(`^(?:|.*\\.)${name}(?:$|\\..*)`, "lora_modules_to_save").test(path));

/** The number of the block that a module is in, if it is in one. */
export function blockOf(path: string, patterns: readonly string[] | string | undefined): number | undefined {
  const names = typeof patterns === "string" ? [patterns] : (patterns ?? []);
  const sources = names.length === 0 ? ["^.*?\\.[^.]*"] : names.map((name) => `^(?:|.*?\\.)${name}`);
  for (const source of sources) {
    const found = pythonRegExp(`${source}\\.(?<idx>\\d+)\\.`, "layers_pattern").exec(path);
    if (found !== null) return Number(found.groups!["idx"]);
  }
  return undefined;
}
