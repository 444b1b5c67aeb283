/** @file What may stand after `is`. */

import { compare, contains, need } from "./operators.js";
import { stringMethods } from "./string_methods.js";
import type { Arguments, Value } from "./values.js";
import {
  asNumber,
  Callable,
  Float,
  isTrue,
  iterate,
  Lazy,
  LoopState,
  str,
  TemplateError,
  typeName,
  Undefined,
} from "./values.js";

type Test = (value: Value, args: Arguments) => boolean;

function integer(value: Value): number {
  const number = asNumber(need(value));
  if (number === undefined) throw new TemplateError(`a number is required, not ${typeName(value)}`);
  return number;
}

function other(args: Arguments): Value {
  const [value] = args;
  if (value === undefined) throw new TemplateError("the test needs a value to compare with");
  return value;
}

const isNumber = (value: Value) => asNumber(value) !== undefined;
const isText = (value: Value) => typeof value === "string";
const ask = (method: string): Test => {
  return (value) => stringMethods.get(method)?.(str(value), [], new Map()) === true;
};
const equal: Test = (value, args) => compare("==", value, other(args));
const notEqual: Test = (value, args) => compare("!=", value, other(args));
const greater: Test = (value, args) => compare(">", value, other(args));
const atLeast: Test = (value, args) => compare(">=", value, other(args));
const less: Test = (value, args) => compare("<", value, other(args));
const atMost: Test = (value, args) => compare("<=", value, other(args));

export const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["defined", (value) => !(value instanceof Undefined)],
  ["undefined", (value) => value instanceof Undefined],
  ["none", (value) => value === null],
  ["true", (value) => value === true],
  ["false", (value) => value === false],
  ["boolean", (value) => typeof value === "boolean"],
  ["string", isText],
  ["number", isNumber],
  ["integer", (value) => typeof value === "number"],
  ["float", (value) => value instanceof Float],
  ["mapping", (value) => value instanceof Map],
  [
    "iterable",
    (value) =>
      isText(value) ||
      Array.isArray(value) ||
      value instanceof Map ||
      value instanceof Lazy ||
      value instanceof Undefined,
  ],
  [
    "sequence",
    (value) => isText(value) || Array.isArray(value) || value instanceof Map || value instanceof Undefined,
  ],
  ["callable", (value) => value instanceof Callable || value instanceof LoopState],
  ["lower", ask("islower")],
  ["upper", ask("isupper")],
  ["odd", (value) => Math.abs(integer(value) % 2) === 1],
  ["even", (value) => integer(value) % 2 === 0],
  ["divisibleby", (value, args) => integer(value) % integer(other(args)) === 0],
  ["in", (value, args) => contains(other(args), value)],
  ["sameas", (value, args) => value === other(args)],
  ["eq", equal],
  ["equalto", equal],
  ["==", equal],
  ["ne", notEqual],
  ["!=", notEqual],
  ["gt", greater],
  ["greaterthan", greater],
  [">", greater],
  ["ge", atLeast],
  [">=", atLeast],
  ["lt", less],
  ["lessthan", less],
  ["<", less],
  ["le", atMost],
  ["<=", atMost],
]);

/** Keeps the items that pass the test of that name, or that are true where no test is named. */
export function passing(items: Value, of: (item: Value) => Value, args: Arguments, wanted: boolean): Lazy {
  const [name, ...rest] = args;
  const test = name === undefined ? undefined : tests.get(str(name));
  if (name !== undefined && test === undefined) throw new TemplateError(`No test named '${str(name)}'.`);
  return new Lazy(
    iterate(items).filter((item) => {
      const value = of(item);
      return (test === undefined ? isTrue(value) : test(value, rest)) === wanted;
    }),
  );
}
