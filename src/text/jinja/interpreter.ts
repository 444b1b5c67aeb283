/** @file Runs a parsed template. */

import { attribute, item, slice } from "./access.js";
import type { CallArguments, Expression, MacroSignature, Statement, Target } from "./ast.js";
import { filters } from "./filters.js";
import { binary, compare, concat, negate, need } from "./operators.js";
import { tests } from "./tests.js";
import type { Arguments, Keywords, Value } from "./values.js";
import {
  Callable,
  equals,
  foundOr,
  isTrue,
  iterate,
  LoopState,
  Namespace,
  str,
  TemplateError,
  Tuple,
  typeName,
  Undefined,
} from "./values.js";

type Body = readonly Statement[];
/** How a body ended: at its end, or at a tag that leaves the loop or its turn. */
type Ending = "done" | "break" | "continue";

/** Variables, looked up outwards. Loops, macros and blocks open a scope; `if` does not. */
export class Scope {
  private readonly values = new Map<string, Value>();
  private readonly parent: Scope | undefined;

  constructor(parent?: Scope) {
    this.parent = parent;
  }

  get(name: string): Value | undefined {
    const found = this.values.get(name);
    return found === undefined ? this.parent?.get(name) : found;
  }

  set(name: string, value: Value): void {
    this.values.set(name, value);
  }
}

/** Marks around what a `{% generation %}` block renders. */
export interface Marks {
  readonly open: string;
  readonly close: string;
}

export class Interpreter {
  private readonly marks: Marks | undefined;
  /** What stands for the rendered body while a filter block is computed. */
  private bodyText = "";

  constructor(marks: Marks | undefined) {
    this.marks = marks;
  }

  render(body: Body, scope: Scope): string {
    const out: string[] = [];
    this.run(body, scope, out);
    return out.join("");
  }

  private run(body: Body, scope: Scope, out: string[]): Ending {
    for (const statement of body) {
      try {
        const ending = this.statement(statement, scope, out);
        if (ending !== "done") return ending;
      } catch (error) {
        if (error instanceof TemplateError) error.line ??= statement.line;
        throw error;
      }
    }
    return "done";
  }

  private statement(node: Statement, scope: Scope, out: string[]): Ending {
    switch (node.type) {
      case "text":
        out.push(node.text);
        return "done";
      case "print":
        out.push(str(this.evaluate(node.value, scope)));
        return "done";
      case "if": {
        const taken = node.branches.find(([condition]) => isTrue(this.evaluate(condition, scope)));
        return this.run(taken?.[1] ?? node.otherwise, scope, out);
      }
      case "for":
        this.loop(node, this.evaluate(node.iterable, scope), scope, out, 1);
        return "done";
      case "break":
      case "continue":
        return node.type;
      case "set":
        this.assign(node.target, this.evaluate(node.value, scope), scope);
        return "done";
      case "capture": {
        const text = this.render(node.body, new Scope(scope));
        const value = this.withBody(text, () => this.evaluate(node.filter, scope));
        if (node.target === undefined) out.push(str(value));
        else this.assign(node.target, value, scope);
        return "done";
      }
      case "with": {
        const inner = new Scope(scope);
        for (const [target, value] of node.values) this.assign(target, this.evaluate(value, scope), inner);
        return this.run(node.body, inner, out);
      }
      case "macro":
        scope.set(node.name, this.macro(node.macro, scope));
        return "done";
      case "callBlock":
        out.push(str(this.evaluate(node.call, scope, this.macro(node.caller, scope))));
        return "done";
      case "generation":
        if (this.marks) out.push(this.marks.open);
        this.run(node.body, new Scope(scope), out);
        if (this.marks) out.push(this.marks.close);
        return "done";
    }
  }

  private withBody(text: string, compute: () => Value): Value {
    const outer = this.bodyText;
    this.bodyText = text;
    try {
      return compute();
    } finally {
      this.bodyText = outer;
    }
  }

  private loop(
    node: Extract<Statement, { type: "for" }>,
    over: Value,
    scope: Scope,
    out: string[],
    depth: number,
  ): void {
    let items = iterate(over);
    if (node.condition !== undefined) {
      const { condition } = node;
      items = items.filter((value) => {
        const inner = new Scope(scope);
        this.assign(node.target, value, inner);
        return isTrue(this.evaluate(condition, inner));
      });
    }
    const recurse = node.recursive
      ? new Callable(([value = null]) => {
          const inner: string[] = [];
          this.loop(node, value, scope, inner, depth + 1);
          return inner.join("");
        })
      : undefined;
    let changed: Value[] | undefined;
    const isChanged = new Callable((args) => {
      const same = changed !== undefined && equals([...args], changed);
      changed = [...args];
      return !same;
    });
    let finished = false;
    for (const [i, value] of items.entries()) {
      const inner = new Scope(scope);
      this.assign(node.target, value, inner);
      inner.set("loop", loopState(items, i, depth, isChanged, recurse));
      const ending = this.run(node.body, inner, out);
      if (ending === "break") break;
      if (ending === "done") finished = true;
    }
    // As in the reference, `else` runs unless one turn came to its end.
    if (!finished) this.run(node.otherwise, new Scope(scope), out);
  }

  private assign(target: Target, value: Value, scope: Scope): void {
    switch (target.type) {
      case "name":
        scope.set(target.name, value);
        return;
      case "namespace": {
        const space = scope.get(target.name);
        if (!(space instanceof Namespace))
          throw new TemplateError("cannot assign attribute on non-namespace object");
        space.attributes.set(target.attribute, value);
        return;
      }
      case "tuple": {
        const values = iterate(value);
        const wanted = target.items.length;
        if (values.length > wanted) throw new TemplateError(`too many values to unpack (expected ${wanted})`);
        if (values.length < wanted) {
          throw new TemplateError(`not enough values to unpack (expected ${wanted}, got ${values.length})`);
        }
        target.items.forEach((part, i) => this.assign(part, values[i] ?? null, scope));
      }
    }
  }

  private macro(signature: MacroSignature, closure: Scope): Callable {
    const { parameters, takesRest, takesKeywords } = signature;
    const name = signature.name === undefined ? "None" : `'${signature.name}'`;
    return new Callable((args, keywords) => {
      const scope = new Scope(closure);
      const surplus = new Map(keywords);
      const caller = surplus.get("caller");
      surplus.delete("caller");
      if (caller !== undefined) scope.set("caller", caller);
      parameters.forEach((parameter, i) => {
        const given = i < args.length ? args[i] : keywords.get(parameter.name);
        surplus.delete(parameter.name);
        // Bound before fallbacks are computed, so that these never see an outer variable of the same name.
        scope.set(
          parameter.name,
          foundOr(given, () => `parameter '${parameter.name}' was not provided`),
        );
        if (given === undefined && parameter.fallback !== undefined) {
          scope.set(parameter.name, this.evaluate(parameter.fallback, scope));
        }
      });
      if (takesKeywords) scope.set("kwargs", new Map<Value, Value>(surplus));
      else {
        const [unknown] = surplus.keys();
        if (unknown !== undefined)
          throw new TemplateError(`macro ${name} takes no keyword argument '${unknown}'`);
      }
      if (takesRest) scope.set("varargs", Tuple.from(args.slice(parameters.length)));
      else if (args.length > parameters.length) {
        throw new TemplateError(`macro ${name} takes not more than ${parameters.length} argument(s)`);
      }
      return this.render(signature.body, scope);
    });
  }

  private evaluate(node: Expression, scope: Scope, caller?: Callable): Value {
    const value = (expression: Expression) => this.evaluate(expression, scope);
    switch (node.type) {
      case "constant":
        return node.value;
      case "name":
        return foundOr(scope.get(node.name), () => `'${node.name}' is undefined`);
      case "body":
        return this.bodyText;
      case "list":
        return node.items.map(value);
      case "tuple":
        return Tuple.from(node.items.map(value));
      case "dict":
        return new Map(node.items.map(([key, entry]) => [value(key), value(entry)]));
      case "attribute":
        return attribute(value(node.object), node.name);
      case "item":
        return item(value(node.object), value(node.key));
      case "slice":
        return slice(
          value(node.object),
          node.bounds.map((bound) => bound && value(bound)),
        );
      case "call": {
        const callee = value(node.callee);
        const [args, keywords] = this.arguments(node.args, scope);
        if (caller !== undefined) keywords.set("caller", caller);
        return call(callee, args, keywords);
      }
      case "filter": {
        const input = value(node.input);
        const filter = filters.get(node.name);
        if (filter === undefined) throw new TemplateError(`No filter named '${node.name}'.`);
        return filter(input, ...this.arguments(node.args, scope));
      }
      case "test": {
        const test = tests.get(node.name);
        if (test === undefined) throw new TemplateError(`No test named '${node.name}'.`);
        return test(value(node.input), this.arguments(node.args, scope)[0]);
      }
      case "not":
        return !isTrue(value(node.operand));
      case "negative":
        return negate(value(node.operand));
      case "positive":
        return binary("+", 0, value(node.operand));
      case "binary":
        return binary(node.operator, value(node.left), value(node.right));
      case "and": {
        const left = value(node.left);
        return isTrue(left) ? value(node.right) : left;
      }
      case "or": {
        const left = value(node.left);
        return isTrue(left) ? left : value(node.right);
      }
      case "compare": {
        let left = value(node.first);
        return node.rest.every(({ operator, operand }) => {
          const right = value(operand);
          const holds = compare(operator, left, right);
          left = right;
          return holds;
        });
      }
      case "concat":
        return concat(node.items.map(value));
      case "conditional":
        if (isTrue(value(node.condition))) return value(node.then);
        if (node.otherwise !== undefined) return value(node.otherwise);
        return new Undefined("the inline if-expression evaluated to false and no else section was defined");
    }
  }

  private arguments(args: CallArguments, scope: Scope): [Value[], Map<string, Value>] {
    const positional = args.positional.map((node) => this.evaluate(node, scope));
    if (args.rest !== undefined) positional.push(...iterate(this.evaluate(args.rest, scope)));
    const keywords = new Map(args.named.map(([name, node]) => [name, this.evaluate(node, scope)]));
    if (args.keywords !== undefined) {
      const more = this.evaluate(args.keywords, scope);
      if (!(more instanceof Map)) throw new TemplateError("argument after ** must be a mapping");
      for (const [name, value] of more) keywords.set(str(name), value);
    }
    return [positional, keywords];
  }
}

function call(callee: Value, args: Arguments, keywords: Keywords): Value {
  need(callee);
  if (callee instanceof Callable) return callee.call(args, keywords);
  if (callee instanceof LoopState && callee.recurse !== undefined) return callee.recurse.call(args, keywords);
  throw new TemplateError(`'${typeName(callee)}' object is not callable`);
}

function loopState(
  items: readonly Value[],
  i: number,
  depth: number,
  changed: Callable,
  recurse: Callable | undefined,
): LoopState {
  const at = (index: number, what: string) => foundOr(items[index], () => `there is no ${what} item`);
  return new LoopState(
    new Map<string, Value>([
      ["index", i + 1],
      ["index0", i],
      ["revindex", items.length - i],
      ["revindex0", items.length - i - 1],
      ["first", i === 0],
      ["last", i === items.length - 1],
      ["length", items.length],
      ["previtem", at(i - 1, "previous")],
      ["nextitem", at(i + 1, "next")],
      ["depth", depth],
      ["depth0", depth - 1],
      ["changed", changed],
      ["cycle", new Callable((args) => foundOr(args[i % args.length], () => "no items for cycling given"))],
    ]),
    recurse,
  );
}
