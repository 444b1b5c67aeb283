/** @file The filters of Jinja that chat templates use; one that is not here is refused by name when a template is parsed. */

import { attribute, item } from "./access.js";
import { bind, integerArgument, textArgument } from "./arguments.js";
import { percentFormat, roundHalfEven } from "./format.js";
import { binary, compare, need, order } from "./operators.js";
import { capitalize, leftPadding, replaceText, splitLines, strip, stringMethods } from "./string_methods.js";
import { passing } from "./tests.js";
import { toJson } from "./to_json.js";
import type { Arguments, Keywords, Value } from "./values.js";
import {
  asNumber,
  equals,
  Float,
  foundOr,
  isTrue,
  iterate,
  Lazy,
  lengthOf,
  str,
  TemplateError,
  Tuple,
  Undefined,
} from "./values.js";

type Filter = (value: Value, args: Arguments, keywords: Keywords) => Value;

/** Picks `a.b.0` out of an item, or the item itself where no attribute is named. */
function getter(path: Value | undefined, fallback?: Value): (value: Value) => Value {
  if (path === undefined || path === null) return (value) => value;
  const parts =
    typeof path === "number"
      ? [path]
      : str(path)
          .split(".")
          .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  return (value) => {
    const found = parts.reduce<Value>((from, part) => item(from, part), value);
    return found instanceof Undefined && fallback !== undefined ? fallback : found;
  };
}

function keyOf(path: Value | undefined, caseSensitive: Value | undefined): (value: Value) => Value {
  const get = getter(path);
  const folds = !isTrue(caseSensitive ?? false);
  return (value) => {
    const key = get(value);
    return folds && typeof key === "string" ? key.toLowerCase() : key;
  };
}

function sorted(items: readonly Value[], key: (value: Value) => Value, reverse: boolean): Value[] {
  const compareKeys = (a: Value, b: Value) => order(key(a), key(b));
  return [...items].sort(reverse ? (a, b) => compareKeys(b, a) : compareKeys);
}

function extreme(what: string, sign: number): Filter {
  return (value, args, keywords) => {
    const [caseSensitive, path] = bind(what, ["case_sensitive", "attribute"], args, keywords);
    const key = keyOf(path, caseSensitive);
    const [first, ...rest] = iterate(value);
    if (first === undefined) return new Undefined("No aggregated item, sequence was empty.");
    return rest.reduce((best, next) => (sign * order(key(next), key(best)) > 0 ? next : best), first);
  };
}

function map(value: Value, args: Arguments, keywords: Keywords): Value {
  const items = iterate(value);
  const [name, ...rest] = args;
  if (name === undefined) {
    const [path, fallback] = bind("map", ["attribute", "default"], args, keywords);
    if (path === undefined) throw new TemplateError("map requires a filter argument");
    return new Lazy(items.map(getter(path, fallback)));
  }
  const filter = filters.get(str(name));
  if (filter === undefined) throw new TemplateError(`No filter named '${str(name)}'.`);
  return new Lazy(items.map((one) => filter(one, rest, keywords)));
}

function indent(value: Value, args: Arguments, keywords: Keywords): Value {
  const [width = 4, first = false, blank = false] = bind(
    "indent",
    ["width", "first", "blank"],
    args,
    keywords,
  );
  const prefix = typeof width === "string" ? width : " ".repeat(integerArgument("width", width, 4));
  // A final line break opens one more, empty line, as the reference has it.
  const lines = splitLines(`${str(value)}\n`);
  const rest = lines.slice(1).map((line) => (line !== "" || isTrue(blank) ? prefix + line : line));
  return (isTrue(first) ? prefix : "") + [lines[0] ?? "", ...rest].join("\n");
}

function round(value: Value, args: Arguments, keywords: Keywords): Value {
  const [precision, method = "common"] = bind("round", ["precision", "method"], args, keywords);
  const number = asNumber(need(value));
  if (number === undefined) throw new TemplateError("round needs a number");
  const digits = integerArgument("precision", precision, 0);
  const scale = 10 ** digits;
  if (method === "ceil") return new Float(Math.ceil(number * scale) / scale);
  if (method === "floor") return new Float(Math.floor(number * scale) / scale);
  if (method !== "common") throw new TemplateError("method must be common, ceil or floor");
  const rounded = roundHalfEven(number, digits);
  return value instanceof Float ? new Float(rounded) : rounded;
}

function toInteger(value: Value, args: Arguments, keywords: Keywords): Value {
  const [fallback = 0, base] = bind("int", ["default", "base"], args, keywords);
  const number = asNumber(value);
  if (number !== undefined) return Math.trunc(number);
  if (typeof value !== "string") return fallback;
  const radix = integerArgument("base", base, 10);
  const text = strip(value, undefined, true, true).replaceAll("_", "");
  if (radix !== 10) {
    const parsed = parseInt(text, radix);
    return Number.isNaN(parsed) ? fallback : parsed;
  }
  const parsed = /^[-+]?\d+$/.test(text) ? Number(text) : Math.trunc(Number(text === "" ? NaN : text));
  return Number.isFinite(parsed) ? parsed : fallback;
}

function toFloat(value: Value, args: Arguments, keywords: Keywords): Value {
  const [fallback = new Float(0)] = bind("float", ["default"], args, keywords);
  const number = asNumber(value) ?? (typeof value === "string" && value.trim() !== "" ? Number(value) : NaN);
  return Number.isNaN(number) ? fallback : new Float(number);
}

function batch(value: Value, args: Arguments, keywords: Keywords): Value {
  const [count, fill] = bind("batch", ["linecount", "fill_with"], args, keywords);
  const size = integerArgument("linecount", count, 0);
  if (size < 1) throw new TemplateError("batch needs a linecount of at least 1");
  const items = iterate(value);
  const rows: Value[] = [];
  for (let i = 0; i < items.length; i += size) {
    const row = items.slice(i, i + size);
    while (fill !== undefined && fill !== null && row.length < size) row.push(fill);
    rows.push(row);
  }
  return new Lazy(rows);
}

function dictSort(value: Value, args: Arguments, keywords: Keywords): Value {
  const names = ["case_sensitive", "by", "reverse"];
  const [caseSensitive, by = "key", reverse = false] = bind("dictsort", names, args, keywords);
  if (!(value instanceof Map)) throw new TemplateError("dictsort needs a dict");
  if (by !== "key" && by !== "value") throw new TemplateError('You can only sort by either "key" or "value"');
  const pairs = [...value].map((pair): Value => Tuple.from(pair));
  return sorted(pairs, keyOf(by === "key" ? 0 : 1, caseSensitive), isTrue(reverse));
}

function unique(value: Value, args: Arguments, keywords: Keywords): Value {
  const [caseSensitive, path] = bind("unique", ["case_sensitive", "attribute"], args, keywords);
  const key = keyOf(path, caseSensitive);
  const seen: Value[] = [];
  return new Lazy(
    iterate(value).filter((one) => {
      const mark = key(one);
      if (seen.some((other) => equals(other, mark))) return false;
      seen.push(mark);
      return true;
    }),
  );
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};
const escape: Filter = (value) => str(value).replace(/[&<>"']/g, (char) => entities[char] ?? char);

const fallbackFor: Filter = (value, args, keywords) => {
  const [fallback = "", falsy = false] = bind("default", ["default_value", "boolean"], args, keywords);
  return value instanceof Undefined || (isTrue(falsy) && !isTrue(value)) ? fallback : value;
};

const length: Filter = (value) => lengthOf(value);
const viaMethod = (name: string): Filter => {
  return (value) => stringMethods.get(name)?.(str(value), [], new Map()) ?? null;
};
const end = (what: string, at: 0 | -1): Filter => {
  return (value) => foundOr(iterate(value).at(at), () => `No ${what} item, sequence was empty.`);
};

export const filters: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ["tojson", toJson],
  ["default", fallbackFor],
  ["d", fallbackFor],
  ["length", length],
  ["count", length],
  ["list", (value) => [...iterate(value)]],
  ["string", (value) => str(value)],
  ["safe", (value) => value],
  ["e", escape],
  ["escape", escape],
  ["forceescape", escape],
  ["upper", viaMethod("upper")],
  ["lower", viaMethod("lower")],
  ["capitalize", (value) => capitalize(str(value))],
  ["title", (value) => str(value).replace(/[^-\s({[<]+/g, capitalize)],
  ["trim", (value, args, kw) => strip(str(value), bind("trim", ["chars"], args, kw)[0], true, true)],
  ["first", end("first", 0)],
  ["last", end("last", -1)],
  [
    "reverse",
    (value) =>
      typeof value === "string"
        ? Array.from(value).reverse().join("")
        : new Lazy([...iterate(value)].reverse()),
  ],
  [
    "join",
    (value, args, keywords) => {
      const [glue = "", path] = bind("join", ["d", "attribute"], args, keywords);
      const get = getter(path);
      return iterate(value)
        .map((one) => str(get(one)))
        .join(str(glue));
    },
  ],
  [
    "replace",
    (value, args, keywords) => {
      const [from, to, count = null] = bind("replace", ["old", "new", "count"], args, keywords);
      const limit = count === null ? -1 : integerArgument("count", count, -1);
      return replaceText(str(value), textArgument("old", from), textArgument("new", to), limit);
    },
  ],
  ["indent", indent],
  ["map", map],
  ["select", (value, args) => passing(value, (one) => one, args, true)],
  ["reject", (value, args) => passing(value, (one) => one, args, false)],
  ["selectattr", (value, [path, ...args]) => passing(value, getter(path), args, true)],
  ["rejectattr", (value, [path, ...args]) => passing(value, getter(path), args, false)],
  ["unique", unique],
  [
    "sort",
    (value, args, keywords) => {
      const names = ["reverse", "case_sensitive", "attribute"];
      const [reverse = false, caseSensitive, path] = bind("sort", names, args, keywords);
      return sorted(iterate(value), keyOf(path, caseSensitive), isTrue(reverse));
    },
  ],
  ["dictsort", dictSort],
  ["items", (value) => (value instanceof Undefined ? [] : new Lazy(pairs(value)))],
  ["batch", batch],
  [
    "sum",
    (value, args, keywords) => {
      const [path, start = 0] = bind("sum", ["attribute", "start"], args, keywords);
      const get = getter(path);
      return iterate(value).reduce<Value>((total, one) => binary("+", total, get(one)), start);
    },
  ],
  ["max", extreme("max", 1)],
  ["min", extreme("min", -1)],
  ["abs", (value) => (compare("<", value, 0) ? binary("*", value, -1) : value)],
  ["round", round],
  ["int", toInteger],
  ["float", toFloat],
  ["format", (value, args) => percentFormat(str(value), args)],
  ["wordcount", (value) => str(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0],
  [
    "center",
    (value, args, keywords) => {
      const width = integerArgument("width", bind("center", ["width"], args, keywords)[0], 80);
      const text = str(value);
      const missing = Math.max(0, width - lengthOf(text));
      const left = leftPadding(missing, width);
      return " ".repeat(left) + text + " ".repeat(missing - left);
    },
  ],
  ["attr", (value, args) => attribute(value, str(args[0] ?? ""))],
]);

function pairs(value: Value): Value[] {
  if (!(value instanceof Map)) throw new TemplateError("Can only get item pairs from a mapping.");
  return [...value].map((pair) => Tuple.from(pair));
}
