/** @file Expressions, by Jinja's precedence: if, or, and, not, comparison, + -, ~, * / // %, **, sign, postfix, filter. */

import type { BinaryOperator, CallArguments, CompareOperator, Comparison, Expression } from "./ast.js";
import { filters } from "./filters.js";
import { tests } from "./tests.js";
import type { TokenStream } from "./token_stream.js";
import { Float } from "./values.js";

const noArguments: CallArguments = { positional: [], named: [], rest: undefined, keywords: undefined };
const constants = new Map([
  ["true", true],
  ["True", true],
  ["false", false],
  ["False", false],
  ["none", null],
  ["None", null],
]);
const comparisons: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);

/**
 * Parses expressions. `names` collects every variable that is read, for macros, which take surplus
 * arguments only when their body reads `varargs` or `kwargs`.
 */
export class ExpressionParser {
  protected readonly stream: TokenStream;
  protected names = new Set<string>();

  constructor(stream: TokenStream) {
    this.stream = stream;
  }

  /** One expression, or several with commas between them as a tuple. */
  tuple(options: { withCondition?: boolean } = {}): Expression {
    const one = () => (options.withCondition === false ? this.or() : this.expression());
    const first = one();
    if (!this.stream.is("operator", ",")) return first;
    const items = [first];
    while (this.stream.skip("operator", ",")) {
      if (this.stream.is("close") || this.stream.is("operator", ")")) break;
      items.push(one());
    }
    return { type: "tuple", items };
  }

  expression(): Expression {
    let value = this.or();
    while (this.stream.is("name", "if")) {
      const { line } = this.stream.next();
      const condition = this.or();
      const otherwise = this.stream.skip("name", "else") ? this.expression() : undefined;
      value = { type: "conditional", condition, then: value, otherwise, line };
    }
    return value;
  }

  private or(): Expression {
    let left = this.and();
    while (this.stream.skip("name", "or")) left = { type: "or", left, right: this.and() };
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.stream.skip("name", "and")) left = { type: "and", left, right: this.not() };
    return left;
  }

  private not(): Expression {
    if (this.stream.skip("name", "not")) return { type: "not", operand: this.not() };
    return this.comparison();
  }

  private comparison(): Expression {
    const first = this.sum();
    const rest: Comparison[] = [];
    for (;;) {
      const operator = this.compareOperator();
      if (operator === undefined) break;
      rest.push({ operator, operand: this.sum() });
    }
    return rest.length === 0 ? first : { type: "compare", first, rest };
  }

  private compareOperator(): CompareOperator | undefined {
    const { kind, text } = this.stream.current;
    if (kind === "operator" && isComparison(text)) {
      this.stream.next();
      return text;
    }
    if (this.stream.skip("name", "in")) return "in";
    if (this.stream.is("name", "not") && this.stream.followedByName("in")) {
      this.stream.next();
      this.stream.next();
      return "not in";
    }
    return undefined;
  }

  private sum(): Expression {
    return this.leftAssociative(["+", "-"], () => this.concat());
  }

  private concat(): Expression {
    const items = [this.product()];
    while (this.stream.skip("operator", "~")) items.push(this.product());
    return items.length === 1 ? this.only(items) : { type: "concat", items };
  }

  private only(items: readonly Expression[]): Expression {
    const [item] = items;
    if (item === undefined) throw this.stream.unexpected();
    return item;
  }

  private product(): Expression {
    return this.leftAssociative(["*", "/", "//", "%"], () => this.power());
  }

  private power(): Expression {
    return this.leftAssociative(["**"], () => this.signed(true));
  }

  private leftAssociative(operators: readonly BinaryOperator[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((text) => this.stream.skip("operator", text));
      if (operator === undefined) return left;
      left = { type: "binary", operator, left, right: operand() };
    }
  }

  private signed(withFilter: boolean): Expression {
    let value: Expression;
    if (this.stream.skip("operator", "-")) value = { type: "negative", operand: this.signed(false) };
    else if (this.stream.skip("operator", "+")) value = { type: "positive", operand: this.signed(false) };
    else value = this.primary();
    value = this.postfix(value);
    return withFilter ? this.filtersAndTests(value) : value;
  }

  private primary(): Expression {
    const token = this.stream.next();
    const { kind, text } = token;
    if (kind === "name") {
      const constant = constants.get(text);
      if (constant !== undefined) return { type: "constant", value: constant };
      this.names.add(text);
      return { type: "name", name: text };
    }
    if (kind === "string") {
      let value = text;
      while (this.stream.is("string")) value += this.stream.next().text;
      return { type: "constant", value };
    }
    if (kind === "integer") return { type: "constant", value: Number(text.replaceAll("_", "")) };
    if (kind === "float") return { type: "constant", value: new Float(Number(text.replaceAll("_", ""))) };
    if (kind === "operator") {
      if (text === "(") return this.parenthesis();
      if (text === "[") return { type: "list", items: this.sequence("]") };
      if (text === "{") return this.dict();
    }
    throw this.stream.fault(
      token.kind === "close"
        ? `unexpected end of ${token.text === "print" ? "print statement" : "statement block"}`
        : `unexpected '${token.text}'`,
    );
  }

  private parenthesis(): Expression {
    if (this.stream.skip("operator", ")")) return { type: "tuple", items: [] };
    const value = this.tuple();
    this.stream.expect("operator", ")");
    return value;
  }

  private sequence(closer: string): Expression[] {
    const items: Expression[] = [];
    while (!this.stream.skip("operator", closer)) {
      if (items.length > 0) this.stream.expect("operator", ",");
      if (this.stream.skip("operator", closer)) break;
      items.push(this.expression());
    }
    return items;
  }

  private dict(): Expression {
    const items: [Expression, Expression][] = [];
    while (!this.stream.skip("operator", "}")) {
      if (items.length > 0) this.stream.expect("operator", ",");
      if (this.stream.skip("operator", "}")) break;
      const key = this.expression();
      this.stream.expect("operator", ":");
      items.push([key, this.expression()]);
    }
    return { type: "dict", items };
  }

  /** Attribute, item and call after a value. */
  private postfix(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.stream.skip("operator", ".")) value = this.member(value);
      else if (this.stream.skip("operator", "[")) value = this.subscript(value);
      else if (this.stream.is("operator", "("))
        value = { type: "call", callee: value, args: this.callArguments() };
      else return value;
    }
  }

  private member(object: Expression): Expression {
    const token = this.stream.next();
    if (token.kind === "name") return { type: "attribute", object, name: token.text };
    if (token.kind !== "integer") throw this.stream.fault("expected name or number");
    return { type: "item", object, key: { type: "constant", value: Number(token.text) } };
  }

  private subscript(object: Expression): Expression {
    const bounds: (Expression | undefined)[] = [];
    let bound: Expression | undefined;
    while (!this.stream.skip("operator", "]")) {
      if (this.stream.skip("operator", ":")) {
        bounds.push(bound);
        bound = undefined;
      } else if (bound === undefined) bound = this.tuple();
      else throw this.stream.unexpected();
    }
    if (bounds.length === 0) {
      if (bound === undefined) throw this.stream.fault("expected subscript expression");
      return { type: "item", object, key: bound };
    }
    if (bounds.length > 2) throw this.stream.fault("too many ':' in a slice");
    return { type: "slice", object, bounds: [...bounds, bound] };
  }

  private filtersAndTests(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.stream.is("operator", "|")) value = this.filter(value);
      else if (this.stream.is("name", "is")) value = this.test(value);
      else if (this.stream.is("operator", "("))
        value = { type: "call", callee: value, args: this.callArguments() };
      else return value;
    }
  }

  /** `| name(args) | …` after `input`. */
  protected filter(input: Expression): Expression {
    let value = input;
    while (this.stream.skip("operator", "|")) value = this.filterCall(value);
    return value;
  }

  protected filterCall(input: Expression): Expression {
    const name = this.stream.expect("name").text;
    if (!filters.has(name)) throw this.stream.fault(`No filter named '${name}'.`);
    return {
      type: "filter",
      name,
      input,
      args: this.stream.is("operator", "(") ? this.callArguments() : noArguments,
    };
  }

  private test(input: Expression): Expression {
    this.stream.next();
    const negated = this.stream.skip("name", "not");
    const name = this.stream.expect("name").text;
    if (!tests.has(name)) throw this.stream.fault(`No test named '${name}'.`);
    const value: Expression = { type: "test", name, input, args: this.testArguments() };
    return negated ? { type: "not", operand: value } : value;
  }

  /** A test takes arguments in parentheses, or one bare value: `x is divisibleby 3`. */
  private testArguments(): CallArguments {
    const { kind, text } = this.stream.current;
    if (kind === "operator" && text === "(") return this.callArguments();
    const value = kind === "string" || kind === "integer" || kind === "float";
    const name = kind === "name" && !["else", "or", "and", "is", "if"].includes(text);
    if (!value && !name && !(kind === "operator" && (text === "[" || text === "{"))) return noArguments;
    return { ...noArguments, positional: [this.postfix(this.primary())] };
  }

  protected callArguments(): CallArguments {
    this.stream.expect("operator", "(");
    const positional: Expression[] = [];
    const named: [string, Expression][] = [];
    let rest: Expression | undefined;
    let keywords: Expression | undefined;
    for (let first = true; !this.stream.skip("operator", ")"); first = false) {
      if (!first) this.stream.expect("operator", ",");
      if (this.stream.skip("operator", ")")) break;
      if (this.stream.skip("operator", "**")) keywords = this.expression();
      else if (this.stream.skip("operator", "*")) rest = this.expression();
      else {
        const value = this.expression();
        if (value.type === "name" && this.stream.skip("operator", "="))
          named.push([value.name, this.expression()]);
        else if (named.length > 0) throw this.stream.fault("invalid syntax for function call expression");
        else positional.push(value);
      }
    }
    return { positional, named, rest, keywords };
  }
}

function isComparison(text: string): text is CompareOperator {
  return comparisons.has(text);
}
