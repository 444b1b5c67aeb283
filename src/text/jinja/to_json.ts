/** @file The filter `tojson` as transformers defines it: Python's `json.dumps` without HTML escapes, not ASCII only. */

import { bind } from "./arguments.js";
import { codePointOrder } from "./operators.js";
import type { Arguments, Keywords, Value } from "./values.js";
import { Float, floatText, hex, isTrue, repr, str, TemplateError, typeName } from "./values.js";

interface Style {
  readonly ascii: boolean;
  readonly sorted: boolean;
  /** What one level is indented by; undefined keeps all on one line. */
  readonly indent: string | undefined;
  readonly itemSeparator: string;
  readonly keySeparator: string;
}

export function toJson(value: Value, args: Arguments, keywords: Keywords): string {
  const names = ["ensure_ascii", "indent", "separators", "sort_keys"];
  const [ascii = false, indent = null, separators = null, sorted = false] = bind(
    "tojson",
    names,
    args,
    keywords,
  );
  const [itemSeparator, keySeparator] = Array.isArray(separators)
    ? separators
    : [indent === null ? ", " : ",", ": "];
  const style: Style = {
    ascii: isTrue(ascii),
    sorted: isTrue(sorted),
    indent:
      indent === null ? undefined : typeof indent === "string" ? indent : " ".repeat(Number(str(indent))),
    itemSeparator: str(itemSeparator ?? ", "),
    keySeparator: str(keySeparator ?? ": "),
  };
  return dump(value, style, "\n");
}

function dump(value: Value, style: Style, newline: string): string {
  if (value === null) return "null";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") return repr(value);
  if (typeof value === "string") return text(value, style);
  if (value instanceof Float) return number(value.value);
  const inner = newline + (style.indent ?? "");
  if (Array.isArray(value)) {
    return wrap(
      "[",
      value.map((item) => dump(item, style, inner)),
      "]",
      style,
      newline,
    );
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]): [string, Value] => [keyText(key), item]);
    if (style.sorted) entries.sort(([a], [b]) => codePointOrder(a, b));
    const parts = entries.map(
      ([key, item]) => text(key, style) + style.keySeparator + dump(item, style, inner),
    );
    return wrap("{", parts, "}", style, newline);
  }
  throw new TemplateError(`Object of type ${typeName(value)} is not JSON serializable`);
}

function wrap(open: string, parts: readonly string[], close: string, style: Style, newline: string): string {
  if (style.indent === undefined || parts.length === 0) return open + parts.join(style.itemSeparator) + close;
  const inner = newline + style.indent;
  return open + inner + parts.join(style.itemSeparator + inner) + newline + close;
}

function keyText(key: Value): string {
  if (typeof key === "boolean") return String(key);
  return key === null ? "null" : str(key);
}

function number(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return floatText(value);
}

function text(value: string, style: Style): string {
  const quoted = JSON.stringify(value);
  if (!style.ascii) return quoted;
  return quoted.replace(/[^ -~]/g, (unit) => `\\u${hex(unit.charCodeAt(0), 4)}`);
}
