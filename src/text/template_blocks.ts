/** @file Runs the statements of parsed templates: blocks, conditions and loops, whose scopes and breaks are Jinja's. */
import * as library from "@huggingface/jinja";
import { itemsOf, pythonStr, type TemplateValue } from "./python_values.js";

export interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

export interface Scope {
  readonly variables: Map<string, TemplateValue>;
  /** Declares a variable, converted from plain values. */
  set(name: string, value: unknown): TemplateValue;
  setVariable(name: string, value: TemplateValue): TemplateValue;
}

interface Runner {
  evaluate(node: Node | undefined, scope: Scope): TemplateValue;
}

// The library's declarations import each other without file endings, which Node's resolution does not follow, so that
// these have no types here.
export const { Environment, Interpreter } = library as unknown as {
  Environment: new (parent?: Scope) => Scope;
  Interpreter: new (scope: Scope) => Runner;
};

const scratch = new Environment();

/** A value of a template. */
export function make(plain: unknown): TemplateValue {
  scratch.variables.clear();
  return scratch.set("value", plain);
}

/** A list of values. */
export function listOf(items: readonly TemplateValue[]): TemplateValue {
  const list = make([]);
  for (const item of items) (list.value as TemplateValue[]).push(item);
  return list;
}

/** A node that is a value already. */
export const held = (value: TemplateValue): Node => ({ type: "Held", value });

/** `break` or `continue`, with what the iteration wrote before it. */
class LoopControl extends Error {
  readonly kind: string;
  text = "";

  constructor(kind: string) {
    super(`{% ${kind.toLowerCase()} %} stands outside of a loop`);
    this.kind = kind;
  }
}

/** What one turn of a loop costs, in steps. */
const stepsOfTurn = 60;

/** Runs statements; expressions are for those that extend it. */
export class BlockInterpreter extends Interpreter {
  /** Told how many steps are done. */
  protected count(_steps: number): void {
    // Those that extend it may set a limit.
  }

  override evaluate(node: Node | undefined, scope: Scope): TemplateValue {
    if (node === undefined) return make(undefined);
    switch (node.type) {
      case "Held":
        return node["value"] as TemplateValue;
      case "Print":
        return make(pythonStr(this.evaluate(node["expression"] as Node, scope)));
      case "Program":
        return make(this.#block(node["body"], scope));
      case "If": {
        const holds = this.evaluate(node["test"] as Node, scope).__bool__().value;
        return make(this.#block(holds ? node["body"] : node["alternate"], scope));
      }
      case "For":
        return make(this.#loop(node, scope));
      case "Break":
      case "Continue":
        throw new LoopControl(node.type);
      default:
        return super.evaluate(node, scope);
    }
  }

  #block(statements: unknown, scope: Scope): string {
    let text = "";
    for (const statement of statements as readonly Node[]) {
      try {
        const value = this.evaluate(statement, scope);
        if (typeof value.value === "string") text += value.value;
      } catch (error) {
        if (error instanceof LoopControl) error.text = text + error.text;
        throw error;
      }
    }
    return text;
  }

  #loop(node: Node, scope: Scope): string {
    const items = this.#loopItems(node, scope);
    let text = "";
    for (const [index, item] of items.entries()) {
      this.count(stepsOfTurn);
      const inner = new Environment(scope);
      bind(inner, node["loopvar"] as Node, item);
      inner.setVariable("loop", make({}));
      const loop = inner.variables.get("loop")!.value as Map<string, TemplateValue>;
      const facts = {
        index: index + 1,
        index0: index,
        revindex: items.length - index,
        revindex0: items.length - index - 1,
        first: index === 0,
        last: index === items.length - 1,
        length: items.length,
      };
      for (const [name, value] of Object.entries(facts)) loop.set(name, make(value));
      loop.set("previtem", items[index - 1] ?? make(undefined));
      loop.set("nextitem", items[index + 1] ?? make(undefined));
      try {
        text += this.#block(node["body"], inner);
      } catch (error) {
        if (!(error instanceof LoopControl)) throw error;
        text += error.text;
        if (error.kind === "Break") break;
      }
    }
    return items.length > 0 ? text : this.#block(node["defaultBlock"], scope);
  }

  /** What is iterated over; what a condition behind it leaves out does not count. */
  #loopItems(node: Node, scope: Scope): readonly TemplateValue[] {
    const iterable = node["iterable"] as Node;
    const isSelected = iterable.type === "SelectExpression";
    const value = this.evaluate(isSelected ? (iterable["lhs"] as Node) : iterable, scope);
    const items = itemsOf(value, make);
    if (items === undefined) throw new Error(`${pythonStr(value)} cannot be iterated over`);
    if (!isSelected) return items;
    return items.filter((item) => {
      const inner = new Environment(scope);
      bind(inner, node["loopvar"] as Node, item);
      return this.evaluate(iterable["test"] as Node, inner).__bool__().value;
    });
  }
}

/** Gives a loop's variable its value, or its variables the parts of it. */
function bind(scope: Scope, variable: Node, item: TemplateValue): void {
  if (variable.type === "Identifier") {
    scope.setVariable(String(variable["value"]), item);
    return;
  }
  const variables = variable.type === "TupleLiteral" ? (variable["value"] as readonly Node[]) : [];
  const parts = itemsOf(item, make);
  if (parts?.length !== variables.length)
    throw new Error(`${pythonStr(item)} does not have the ${variables.length} parts that the loop wants`);
  variables.forEach((inner, i) => bind(scope, inner, parts[i]!));
}
