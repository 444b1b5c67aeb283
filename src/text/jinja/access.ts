/** @file Attributes, items and slices. */

import { bind } from "./arguments.js";
import { need } from "./operators.js";
import { stringMethods } from "./string_methods.js";
import type { Arguments, Dict, Keywords, Value } from "./values.js";
import {
  asNumber,
  Callable,
  equals,
  foundOr,
  Namespace,
  TemplateError,
  Tuple,
  typeName,
  Undefined,
} from "./values.js";

/** Methods that would change their object; a template runs in a sandbox that forbids them. */
const mutators: ReadonlySet<string> = new Set([
  "append",
  "extend",
  "insert",
  "remove",
  "pop",
  "clear",
  "sort",
  "reverse",
  "update",
  "setdefault",
  "popitem",
]);

const dictMethods: ReadonlyMap<string, (dict: Dict, args: Arguments, keywords: Keywords) => Value> = new Map([
  ["items", (dict: Dict): Value => [...dict].map((pair) => Tuple.from(pair))],
  ["keys", (dict: Dict): Value => [...dict.keys()]],
  ["values", (dict: Dict): Value => [...dict.values()]],
  ["copy", (dict: Dict): Value => new Map(dict)],
  [
    "get",
    (dict: Dict, args: Arguments, keywords: Keywords): Value => {
      const [key = null, fallback = null] = bind("get()", ["key", "default"], args, keywords);
      const found = dict.get(key);
      return found === undefined ? fallback : found;
    },
  ],
]);

const listMethods: ReadonlyMap<string, (list: Value[], args: Arguments, keywords: Keywords) => Value> =
  new Map([
    ["copy", (list: Value[]): Value => [...list]],
    [
      "count",
      (list: Value[], args: Arguments, keywords: Keywords): Value => {
        const [item = null] = bind("count()", ["value"], args, keywords);
        return list.filter((other) => equals(other, item)).length;
      },
    ],
    [
      "index",
      (list: Value[], args: Arguments, keywords: Keywords): Value => {
        const [item = null] = bind("index()", ["value"], args, keywords);
        const at = list.findIndex((other) => equals(other, item));
        if (at < 0) throw new TemplateError("the value is not in the list");
        return at;
      },
    ],
  ]);

function method(object: Value, name: string): Value | undefined {
  if (typeof object === "string") {
    const found = stringMethods.get(name);
    return found && new Callable((args, keywords) => found(object, args, keywords));
  }
  if (object instanceof Map) {
    const found = dictMethods.get(name);
    if (found) return new Callable((args, keywords) => found(object, args, keywords));
  } else if (Array.isArray(object)) {
    const found = listMethods.get(name);
    if (found) return new Callable((args, keywords) => found(object, args, keywords));
  } else return undefined;
  if (!mutators.has(name)) return undefined;
  throw new TemplateError(`access to attribute '${name}' of '${typeName(object)}' object is unsafe`);
}

/** `object.name`: a method or attribute first, then an item of that name. */
export function attribute(object: Value, name: string): Value {
  need(object);
  if (object instanceof Namespace)
    return foundOr(object.attributes.get(name), () => whyMissing(object, name));
  if (object instanceof Map && !dictMethods.has(name)) {
    // Where a dict holds a key of a method's name, the dot finds the method, and only [] the item.
    const found = object.get(name);
    if (found !== undefined) return found;
  }
  return foundOr(method(object, name), () => whyMissing(object, name));
}

/** `object[key]`: an item first, then an attribute of that name. */
export function item(object: Value, key: Value): Value {
  need(object);
  need(key);
  if (object instanceof Map) {
    const found = object.get(key);
    if (found !== undefined) return found;
  } else if (Array.isArray(object) || typeof object === "string") {
    const index = asNumber(key);
    if (index !== undefined) {
      const items = typeof object === "string" ? Array.from(object) : object;
      return foundOr(items.at(index), () => whyMissing(object, index));
    }
  }
  return typeof key === "string" ? attribute(object, key) : new Undefined(whyMissing(object, key));
}

function whyMissing(object: Value, key: Value): string {
  const kind = object === null ? "None" : `${typeName(object)} object`;
  if (typeof key === "string") return `'${kind}' has no attribute '${key}'`;
  return `${kind} has no element ${typeof key === "number" ? key : typeName(key)}`;
}

/** `object[start:stop:step]` with Python's clamping. */
export function slice(object: Value, bounds: readonly (Value | undefined)[]): Value {
  need(object);
  if (typeof object === "string") {
    const points = Array.from(object);
    return pick(points, bounds).join("");
  }
  if (!Array.isArray(object)) throw new TemplateError(`'${typeName(object)}' object is not subscriptable`);
  const items = pick(object, bounds);
  return object instanceof Tuple ? Tuple.from(items) : items;
}

function pick<T>(items: readonly T[], bounds: readonly (Value | undefined)[]): T[] {
  const [start, stop, step = 1] = bounds.map((bound) => sliceBound(bound));
  if (step === 0) throw new TemplateError("slice step cannot be zero");
  const size = items.length;
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
  const clamp = (value: number) => Math.min(Math.max(value < 0 ? value + size : value, low), high);
  const from = start === undefined ? (step > 0 ? low : high) : clamp(start);
  const to = stop === undefined ? (step > 0 ? high : low) : clamp(stop);
  const picked: T[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) picked.push(...items.slice(i, i + 1));
  return picked;
}

function sliceBound(bound: Value | undefined): number | undefined {
  if (bound === undefined || bound === null) return undefined;
  const value = asNumber(need(bound));
  if (value === undefined) throw new TemplateError("slice indices must be integers or None");
  return value;
}
