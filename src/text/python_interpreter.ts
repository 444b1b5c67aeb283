/**
 * @file Runs parsed templates with the template library, and reads as Python does what the library reads otherwise: what
 * is printed, compared, added, iterated and filtered. Bounds how much a template may do.
 */
import { stripped } from "./python_text.js";
import {
  isUndefined,
  itemsOf,
  pythonCompare,
  pythonContains,
  pythonEquals,
  pythonStr,
  type TemplateValue,
} from "./python_values.js";
import {
  BlockInterpreter,
  Environment,
  held,
  listOf,
  make,
  type Node,
  type Scope,
} from "./template_blocks.js";

/** Nodes that a template may evaluate; texts count by their length too. Some seconds at most. */
const mostSteps = 4_000_000;
/** Nodes inside each other, those of called macros included. */
const deepest = 1000;
/** Characters of any text, and items of any list. */
const longestText = 64 * 2 ** 20;
const longestList = 1_000_000;
/** As in Jinja's sandbox. */
const longestRange = 100_000;
/** Characters that count as one step. */
const charactersPerStep = 256;

/** Renders a parsed template. @throws Error saying what the template does wrong. */
export function run(parsed: Node, variables: Readonly<Record<string, unknown>>): string {
  const scope = new Environment();
  const globals = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range,
    raise_exception: (message: unknown) => {
      throw new Error(String(message));
    },
  };
  for (const [name, value] of Object.entries({ ...globals, ...variables })) scope.set(name, value);
  return pythonStr(new PythonInterpreter(scope).evaluate(parsed, scope));
}

function range(first: unknown, second?: unknown, third: unknown = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (![start, stop, third].every(Number.isSafeInteger) || third === 0)
    throw new Error("range() takes whole numbers");
  const step = Number(third);
  const count = Math.max(0, Math.ceil((Number(stop) - Number(start)) / step));
  if (count > longestRange) throw new Error(`range() gives ${count} numbers, more than ${longestRange}`);
  return Array.from({ length: count }, (_, i) => Number(start) + i * step);
}

class PythonInterpreter extends BlockInterpreter {
  #steps = 0;
  #depth = 0;

  override evaluate(node: Node | undefined, scope: Scope): TemplateValue {
    this.count(1);
    if (this.#depth === deepest) throw new Error("calls itself without end");
    this.#depth++;
    let value: TemplateValue;
    try {
      value = this.#evaluate(node, scope);
    } finally {
      this.#depth--;
    }
    const plain = value.value;
    if (typeof plain === "string") {
      if (plain.length > longestText) throw new Error(`a text grows beyond ${longestText} characters`);
      this.count(plain.length / charactersPerStep);
    } else if (Array.isArray(plain) && plain.length > longestList) {
      throw new Error(`a list grows beyond ${longestList} items`);
    }
    return value;
  }

  protected override count(steps: number): void {
    this.#steps += steps;
    if (this.#steps > mostSteps)
      throw new Error(`takes more than ${mostSteps} steps, as if it went on forever`);
  }

  #evaluate(node: Node | undefined, scope: Scope): TemplateValue {
    if (node === undefined) return make(undefined);
    switch (node.type) {
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "MemberExpression":
        return this.#member(node, scope);
      case "FilterExpression":
        return this.#filter(node, scope);
      case "TestExpression":
        return this.#test(node, scope);
      default:
        return super.evaluate(node, scope);
    }
  }

  #binary(node: Node, scope: Scope): TemplateValue {
    const operator = (node["operator"] as { value: string }).value;
    if (operator === "and" || operator === "or") return super.evaluate(node, scope);
    const left = this.evaluate(node["left"] as Node, scope);
    const right = this.evaluate(node["right"] as Node, scope);
    switch (operator) {
      case "==":
        return make(pythonEquals(left, right));
      case "!=":
        return make(!pythonEquals(left, right));
      case "~":
        return make(pythonStr(left) + pythonStr(right));
      case "in":
        return make(pythonContains(right, left));
      case "not in":
        return make(!pythonContains(right, left));
      case "<":
        return make(pythonCompare(left, right) < 0);
      case ">":
        return make(pythonCompare(left, right) > 0);
      case "<=":
        return make(pythonCompare(left, right) <= 0);
      case ">=":
        return make(pythonCompare(left, right) >= 0);
    }
    const [a, b] = [left.value, right.value];
    const texts = [a, b].filter((value) => typeof value === "string").length;
    if (operator === "+" && texts === 1) throw new Error("only texts can be added to a text");
    if (operator === "*" && texts === 1) {
      const [text, count] = typeof a === "string" ? [a, b] : [String(b), a];
      if (!Number.isSafeInteger(count)) throw new Error("a text can be multiplied by whole numbers only");
      if (text.length * Number(count) > longestText)
        throw new Error(`a text grows beyond ${longestText} characters`);
      return make(text.repeat(Math.max(0, Number(count))));
    }
    if (["/", "//", "%"].includes(operator) && b === 0) throw new Error("division by zero");
    if (operator === "%" && typeof a === "number" && typeof b === "number") {
      const value = a - b * Math.floor(a / b);
      const isFloat = left.type === "FloatValue" || right.type === "FloatValue";
      return isFloat ? super.evaluate({ type: "FloatLiteral", value }, scope) : make(value);
    }
    return super.evaluate({ ...node, left: held(left), right: held(right) }, scope);
  }

  /** Attributes of what is undefined are an error; characters are counted as Python does. */
  #member(node: Node, scope: Scope): TemplateValue {
    const object = this.evaluate(node["object"] as Node, scope);
    const property = node["property"] as Node;
    if (isUndefined(object)) {
      const name = (node["object"] as Node)["value"];
      throw new Error(`${typeof name === "string" ? name : "what is read from"} is undefined`);
    }
    if (typeof object.value !== "string" || node["computed"] !== true || property.type === "SliceExpression")
      return super.evaluate({ ...node, object: held(object) }, scope);
    const place = this.evaluate(property, scope);
    if (typeof place.value === "number") return make(Array.from(object.value).at(place.value));
    return super.evaluate({ ...node, object: held(object), property: held(place) }, scope);
  }

  #test(node: Node, scope: Scope): TemplateValue {
    const operand = this.evaluate(node["operand"] as Node, scope);
    const test = (node["test"] as Node)["value"];
    const answer = (holds: boolean): TemplateValue => make(holds !== (node["negate"] === true));
    if (test === "iterable") return answer(itemsOf(operand, make) !== undefined);
    if (test === "number")
      return answer(typeof operand.value === "number" || typeof operand.value === "boolean");
    if (test === "float") return answer(operand.type === "FloatValue");
    return super.evaluate({ ...node, operand: held(operand) }, scope);
  }

  #filter(node: Node, scope: Scope): TemplateValue {
    const operand = this.evaluate(node["operand"] as Node, scope);
    const filter = node["filter"] as Node;
    const isCall = filter.type === "CallExpression";
    const name = String((isCall ? (filter["callee"] as Node) : filter)["value"]);
    const args = isCall ? (filter["args"] as readonly Node[]) : [];
    const isPlain = args.every(({ type }) => !type.startsWith("Keyword") && type !== "SpreadExpression");
    const values = () => args.map((arg) => this.evaluate(arg, scope));
    const items = () => {
      const found = itemsOf(operand, make);
      if (found === undefined) throw new Error(`${pythonStr(operand)} cannot be iterated over by ${name}`);
      return found;
    };
    const like = (value: TemplateValue): TemplateValue =>
      super.evaluate({ ...node, operand: held(value) }, scope);
    switch (isPlain ? name : "") {
      case "string":
        return make(pythonStr(operand));
      case "trim":
        return make(stripped("strip", pythonStr(operand), values()[0]?.value));
      case "length":
      case "count":
        return make(items().length);
      case "list":
        return listOf(items());
      case "first":
        return items()[0] ?? make(undefined);
      case "last":
        return items().at(-1) ?? make(undefined);
      case "join": {
        const [separator] = values();
        return make(
          items()
            .map(pythonStr)
            .join(separator === undefined ? "" : pythonStr(separator)),
        );
      }
      case "select":
      case "reject":
        return listOf(this.#selected(items(), values(), name === "select", scope));
      case "tojson":
        if (isUndefined(operand)) throw new Error("what is undefined has no JSON");
        return like(operand);
      case "default":
      case "d": {
        const [fallback, isEager] = values();
        const isMissing =
          isUndefined(operand) || (isEager?.__bool__().value === true && !operand.__bool__().value);
        return isMissing ? (fallback ?? make("")) : operand;
      }
    }
    switch (name) {
      case "selectattr":
      case "rejectattr":
      case "map":
        // Characters have no attributes that templates ask for.
        if (typeof operand.value === "string" && name !== "map")
          return listOf(name === "selectattr" ? [] : items());
        return like(Array.isArray(operand.value) ? operand : listOf(items()));
      case "upper":
      case "lower":
      case "capitalize":
      case "title":
      case "replace":
      case "indent":
        return like(make(pythonStr(operand)));
    }
    return like(operand);
  }

  #selected(
    items: readonly TemplateValue[],
    [test, argument]: readonly TemplateValue[],
    wanted: boolean,
    scope: Scope,
  ): TemplateValue[] {
    const holds = (item: TemplateValue): boolean => {
      if (test === undefined) return item.__bool__().value;
      const name = pythonStr(test);
      if (argument === undefined) {
        const question = { type: "TestExpression", operand: held(item), negate: false };
        return this.evaluate({ ...question, test: { type: "Identifier", value: name } }, scope).__bool__()
          .value;
      }
      const operator = comparisons[name];
      if (operator === undefined) throw new Error(`there is no test ${name} with an argument`);
      const node = { type: "BinaryExpression", operator: { value: operator } };
      return this.evaluate({ ...node, left: held(item), right: held(argument) }, scope).__bool__().value;
    };
    return items.filter((item) => holds(item) === wanted);
  }
}

const comparisons: Readonly<Record<string, string>> = {
  eq: "==",
  equalto: "==",
  "==": "==",
  ne: "!=",
  "!=": "!=",
  lt: "<",
  lessthan: "<",
  "<": "<",
  le: "<=",
  "<=": "<=",
  gt: ">",
  greaterthan: ">",
  ">": ">",
  ge: ">=",
  ">=": ">=",
  in: "in",
};
