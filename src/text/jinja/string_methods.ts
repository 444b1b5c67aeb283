/** @file The methods of Python's `str` that templates may call. */

import { bind, integerArgument, textArgument } from "./arguments.js";
import { braceFormat } from "./format.js";
import type { Arguments, Keywords, Value } from "./values.js";
import { iterate, lengthOf, TemplateError, Tuple } from "./values.js";

type Method = (text: string, args: Arguments, keywords: Keywords) => Value;

const spaceClass = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const leadingSpace = new RegExp(`^[${spaceClass}]+`);
const trailingSpace = new RegExp(`[${spaceClass}]+$`);
const word = new RegExp(`[^${spaceClass}]+`, "g");
/** What ends a line for `splitlines`. */
const lineEnds = "\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029";
const lineEnd = new RegExp(`\\r\\n|[${lineEnds}]`);

/** Removes white space, or the characters of `chars`, from the asked ends. Python's idea of white space has no U+FEFF. */
export function strip(text: string, chars: Value | undefined, left: boolean, right: boolean): string {
  if (chars === undefined || chars === null) {
    const head = left ? text.replace(leadingSpace, "") : text;
    return right ? head.replace(trailingSpace, "") : head;
  }
  const unwanted = new Set(textArgument("strip arg", chars));
  const points = Array.from(text);
  let start = 0;
  let end = points.length;
  if (left) while (start < end && unwanted.has(points[start] ?? "")) start++;
  if (right) while (end > start && unwanted.has(points[end - 1] ?? "")) end--;
  return points.slice(start, end).join("");
}

export function splitLines(text: string): string[] {
  const lines = text.split(lineEnd);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** Replaces the first `count` places, or all when `count` is negative; an empty `from` is found around each character. */
export function replaceText(text: string, from: string, to: string, count: number): string {
  const parts = from === "" ? ["", ...Array.from(text), ""] : text.split(from);
  const replaced = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1);
  return (
    parts.slice(0, replaced + 1).join(to) +
    parts
      .slice(replaced + 1)
      .map((part) => from + part)
      .join("")
  );
}

export function capitalize(text: string): string {
  const [first = ""] = text;
  return first.toUpperCase() + text.slice(first.length).toLowerCase();
}

function split(text: string, separator: Value | undefined, limit: number, fromRight: boolean): Value {
  const parts =
    separator === undefined || separator === null
      ? (text.match(word) ?? [])
      : text.split(nonEmpty(textArgument("separator", separator)));
  if (limit < 0 || parts.length <= limit + 1) return parts;
  if (separator === undefined || separator === null) return splitWords(text, limit, fromRight);
  const glue = textArgument("separator", separator);
  return fromRight
    ? [parts.slice(0, parts.length - limit).join(glue), ...parts.slice(parts.length - limit)]
    : [...parts.slice(0, limit), parts.slice(limit).join(glue)];
}

/** A limited split at white space keeps the rest as it stands. */
function splitWords(text: string, limit: number, fromRight: boolean): string[] {
  const found = [...text.matchAll(word)];
  if (fromRight) {
    const tail = found.slice(found.length - limit);
    return [
      strip(text.slice(0, tail[0]?.index ?? text.length), undefined, true, true),
      ...tail.map((m) => m[0]),
    ];
  }
  const head = found.slice(0, limit).map((m) => m[0]);
  return [...head, strip(text.slice(found[limit]?.index ?? text.length), undefined, true, false)];
}

function nonEmpty(separator: string): string {
  if (separator === "") throw new TemplateError("empty separator");
  return separator;
}

function affix(what: string, test: (text: string, part: string) => boolean): Method {
  return (text, args, keywords) => {
    const [part] = bind(what, ["prefix"], args, keywords);
    if (part instanceof Tuple) return part.some((one) => test(text, textArgument(what, one)));
    return test(text, textArgument(`${what} first arg`, part));
  };
}

function find(what: string, last: boolean, required: boolean): Method {
  return (text, args, keywords) => {
    const [part] = bind(what, ["sub"], args, keywords);
    const needle = textArgument(what, part);
    const at = last ? text.lastIndexOf(needle) : text.indexOf(needle);
    if (at < 0 && required) throw new TemplateError("substring not found");
    return at < 0 ? -1 : lengthOf(text.slice(0, at));
  };
}

function partition(last: boolean): Method {
  return (text, args, keywords) => {
    const [part] = bind("partition()", ["sep"], args, keywords);
    const separator = nonEmpty(textArgument("separator", part));
    const at = last ? text.lastIndexOf(separator) : text.indexOf(separator);
    if (at < 0) return Tuple.from(last ? ["", "", text] : [text, "", ""]);
    return Tuple.from([text.slice(0, at), separator, text.slice(at + separator.length)]);
  };
}

function pad(what: string, fill: (missing: number, width: number) => number): Method {
  return (text, args, keywords) => {
    const [width, char] = bind(what, ["width", "fillchar"], args, keywords);
    const wanted = integerArgument(what, width, 0);
    const missing = Math.max(0, wanted - lengthOf(text));
    const left = fill(missing, wanted);
    const padding = char === undefined ? " " : textArgument(what, char);
    return padding.repeat(left) + text + padding.repeat(missing - left);
  };
}

/** Python's `center` puts the odd space to the left only where the width is odd too. */
export function leftPadding(missing: number, width: number): number {
  return Math.floor(missing / 2) + (missing & width & 1);
}

/** A test of every character; the empty text fails it. */
function every(pattern: RegExp): Method {
  return (text) => pattern.test(text);
}

const plain = (change: (text: string) => Value): Method => {
  return (text, args, keywords) => {
    bind("the method", [], args, keywords);
    return change(text);
  };
};

export const stringMethods: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["upper", plain((text) => text.toUpperCase())],
  ["lower", plain((text) => text.toLowerCase())],
  ["casefold", plain((text) => text.toLowerCase().replaceAll("ß", "ss"))],
  ["capitalize", plain(capitalize)],
  ["title", plain((text) => text.replace(/\p{L}+/gu, capitalize))],
  [
    "swapcase",
    plain((text) =>
      text.replace(/\p{L}/gu, (c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())),
    ),
  ],
  ["strip", (text, args, kw) => strip(text, bind("strip()", ["chars"], args, kw)[0], true, true)],
  ["lstrip", (text, args, kw) => strip(text, bind("lstrip()", ["chars"], args, kw)[0], true, false)],
  ["rstrip", (text, args, kw) => strip(text, bind("rstrip()", ["chars"], args, kw)[0], false, true)],
  [
    "split",
    (text, args, kw) => {
      const [separator, limit] = bind("split()", ["sep", "maxsplit"], args, kw);
      return split(text, separator, integerArgument("maxsplit", limit, -1), false);
    },
  ],
  [
    "rsplit",
    (text, args, kw) => {
      const [separator, limit] = bind("rsplit()", ["sep", "maxsplit"], args, kw);
      return split(text, separator, integerArgument("maxsplit", limit, -1), true);
    },
  ],
  ["splitlines", plain(splitLines)],
  [
    "replace",
    (text, args, kw) => {
      const [from, to, count] = bind("replace()", ["old", "new", "count"], args, kw);
      const limit = integerArgument("count", count, -1);
      return replaceText(text, textArgument("old", from), textArgument("new", to), limit);
    },
  ],
  ["startswith", affix("startswith", (text, part) => text.startsWith(part))],
  ["endswith", affix("endswith", (text, part) => text.endsWith(part))],
  [
    "removeprefix",
    (text, args, kw) => {
      const part = textArgument("prefix", bind("removeprefix()", ["prefix"], args, kw)[0]);
      return text.startsWith(part) ? text.slice(part.length) : text;
    },
  ],
  [
    "removesuffix",
    (text, args, kw) => {
      const part = textArgument("suffix", bind("removesuffix()", ["suffix"], args, kw)[0]);
      return text.endsWith(part) ? text.slice(0, text.length - part.length) : text;
    },
  ],
  ["find", find("find()", false, false)],
  ["rfind", find("rfind()", true, false)],
  ["index", find("index()", false, true)],
  ["rindex", find("rindex()", true, true)],
  [
    "count",
    (text, args, kw) => {
      const part = textArgument("sub", bind("count()", ["sub"], args, kw)[0]);
      return part === "" ? lengthOf(text) + 1 : text.split(part).length - 1;
    },
  ],
  [
    "join",
    (text, args, kw) => {
      const [items = null] = bind("join()", ["iterable"], args, kw);
      return iterate(items)
        .map((item, i) => textArgument(`sequence item ${i}`, item))
        .join(text);
    },
  ],
  ["partition", partition(false)],
  ["rpartition", partition(true)],
  ["format", (text, args, kw) => braceFormat(text, args, kw)],
  ["center", pad("center()", leftPadding)],
  ["ljust", pad("ljust()", () => 0)],
  ["rjust", pad("rjust()", (missing) => missing)],
  [
    "zfill",
    (text, args, kw) => {
      const width = integerArgument("width", bind("zfill()", ["width"], args, kw)[0], 0);
      const sign = /^[-+]/.exec(text)?.[0] ?? "";
      return sign + text.slice(sign.length).padStart(width - sign.length, "0");
    },
  ],
  ["isdigit", every(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u)],
  ["isdecimal", every(/^\p{Nd}+$/u)],
  ["isnumeric", every(/^\p{N}+$/u)],
  ["isalpha", every(/^\p{L}+$/u)],
  ["isalnum", every(/^[\p{L}\p{N}]+$/u)],
  ["isspace", every(new RegExp(`^[${spaceClass}]+$`))],
  ["isupper", (text) => /\p{Lu}/u.test(text) && !/[\p{Ll}\p{Lt}]/u.test(text)],
  ["islower", (text) => /\p{Ll}/u.test(text) && !/[\p{Lu}\p{Lt}]/u.test(text)],
]);
