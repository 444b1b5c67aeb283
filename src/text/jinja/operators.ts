/** @file Arithmetic, comparison and membership, as Python defines them. */

import type { BinaryOperator, CompareOperator } from "./ast.js";
import { percentFormat } from "./format.js";
import type { Value } from "./values.js";
import {
  asNumber,
  equals,
  Float,
  iterate,
  str,
  TemplateError,
  Tuple,
  typeName,
  Undefined,
} from "./values.js";

/** Throws if the value is undefined, with the reason why it is. */
export function need(value: Value): Exclude<Value, Undefined> {
  if (value instanceof Undefined) throw new TemplateError(value.reason);
  return value;
}

export function binary(operator: BinaryOperator, left: Value, right: Value): Value {
  need(left);
  need(right);
  const a = asNumber(left);
  const b = asNumber(right);
  if (a !== undefined && b !== undefined) {
    const isFloat = left instanceof Float || right instanceof Float;
    return numeric(operator, a, b, isFloat);
  }
  if (operator === "+") return add(left, right);
  if (operator === "*") {
    if (typeof right === "number") return repeat(left, right);
    if (typeof left === "number") return repeat(right, left);
  }
  if (operator === "%" && typeof left === "string") {
    return percentFormat(left, right instanceof Tuple ? right : [right]);
  }
  throw unsupported(operator, left, right);
}

function numeric(operator: BinaryOperator, a: number, b: number, isFloat: boolean): Value {
  const result = (value: number) => (isFloat ? new Float(value) : value);
  if (b === 0 && (operator === "/" || operator === "//" || operator === "%")) {
    throw new TemplateError(operator === "%" ? "integer modulo by zero" : "division by zero");
  }
  switch (operator) {
    case "+":
      return result(a + b);
    case "-":
      return result(a - b);
    case "*":
      return result(a * b);
    case "/":
      return new Float(a / b);
    case "//":
      return result(Math.floor(a / b));
    case "%":
      return result(a - Math.floor(a / b) * b); // takes the sign of the divisor
    case "**":
      return isFloat || b < 0 ? new Float(a ** b) : a ** b;
  }
}

function add(left: Value, right: Value): Value {
  if (typeof left === "string") {
    if (typeof right === "string") return left + right;
    throw new TemplateError(`can only concatenate str (not "${typeName(right)}") to str`);
  }
  if (Array.isArray(left) && Array.isArray(right) && left instanceof Tuple === right instanceof Tuple) {
    const items = [...left, ...right];
    return left instanceof Tuple ? Tuple.from(items) : items;
  }
  throw unsupported("+", left, right);
}

function repeat(value: Value, count: number): Value {
  const times = Math.max(0, count);
  if (typeof value === "string") return value.repeat(times);
  if (!Array.isArray(value)) throw unsupported("*", value, count);
  const items = Array.from({ length: times }, () => [...value]).flat();
  return value instanceof Tuple ? Tuple.from(items) : items;
}

function unsupported(operator: string, left: Value, right: Value): TemplateError {
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  return new TemplateError(`unsupported operand type(s) for ${operator}: ${types}`);
}

export function compare(operator: CompareOperator, left: Value, right: Value): boolean {
  switch (operator) {
    case "==":
      return equals(left, right);
    case "!=":
      return !equals(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    case "<":
      return order(left, right, operator) < 0;
    case "<=":
      return order(left, right, operator) <= 0;
    case ">":
      return order(left, right, operator) > 0;
    case ">=":
      return order(left, right, operator) >= 0;
  }
}

/** Negative, zero or positive; `operator` is what the message shows where the two cannot be ordered. */
export function order(left: Value, right: Value, operator = "<"): number {
  const a = asNumber(need(left));
  const b = asNumber(need(right));
  if (a !== undefined && b !== undefined) return a - b;
  if (typeof left === "string" && typeof right === "string") return codePointOrder(left, right);
  if (Array.isArray(left) && Array.isArray(right)) {
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      const [x, y] = [left[i] ?? null, right[i] ?? null];
      if (!equals(x, y)) return order(x, y, operator);
    }
    return left.length - right.length;
  }
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  throw new TemplateError(`'${operator}' not supported between instances of ${types}`);
}

/** Python orders by code point, JavaScript by UTF-16 unit; they differ beyond the basic plane. */
export function codePointOrder(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length;) {
    const x = a.codePointAt(i) ?? 0;
    const y = b.codePointAt(i) ?? 0;
    if (x !== y) return x - y;
    i += x > 0xffff ? 2 : 1;
  }
  return a.length - b.length;
}

export function contains(container: Value, item: Value): boolean {
  if (typeof container === "string") {
    if (typeof item === "string") return container.includes(item);
    throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Map) return container.has(item);
  if (container === null || asNumber(container) !== undefined) {
    throw new TemplateError(`argument of type '${typeName(container)}' is not iterable`);
  }
  return iterate(container).some((other) => equals(item, other));
}

/** `~`: both sides as text. */
export function concat(items: readonly Value[]): string {
  return items.map(str).join("");
}

export function negate(value: Value): Value {
  const number = asNumber(need(value));
  if (number === undefined) throw new TemplateError(`bad operand type for unary -: '${typeName(value)}'`);
  return value instanceof Float ? new Float(-number) : 0 - number;
}
