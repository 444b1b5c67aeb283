/** @file The syntax tree of a template. */

import type { Value } from "./values.js";

export type Expression =
  | { readonly type: "constant"; readonly value: Value }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly type: "dict"; readonly items: readonly (readonly [Expression, Expression])[] }
  | { readonly type: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly type: "item"; readonly object: Expression; readonly key: Expression }
  | {
      readonly type: "slice";
      readonly object: Expression;
      readonly bounds: readonly (Expression | undefined)[];
    }
  | { readonly type: "call"; readonly callee: Expression; readonly args: CallArguments }
  | {
      readonly type: "filter";
      readonly name: string;
      readonly input: Expression;
      readonly args: CallArguments;
    }
  | { readonly type: "test"; readonly name: string; readonly input: Expression; readonly args: CallArguments }
  | { readonly type: "not" | "negative" | "positive"; readonly operand: Expression }
  | {
      readonly type: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly type: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly type: "compare"; readonly first: Expression; readonly rest: readonly Comparison[] }
  | { readonly type: "concat"; readonly items: readonly Expression[] }
  | {
      readonly type: "conditional";
      readonly condition: Expression;
      readonly then: Expression;
      readonly otherwise: Expression | undefined;
      readonly line: number;
    }
  /** Stands for the rendered body in `{% filter %}` and `{% set x | filter %}`. */
  | { readonly type: "body" };

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type CompareOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";
export interface Comparison {
  readonly operator: CompareOperator;
  readonly operand: Expression;
}

export interface CallArguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*expression` and `**expression`. */
  readonly rest: Expression | undefined;
  readonly keywords: Expression | undefined;
}

export type Target =
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "namespace"; readonly name: string; readonly attribute: string }
  | { readonly type: "tuple"; readonly items: readonly Target[] };

export interface MacroSignature {
  readonly name: string | undefined;
  readonly parameters: readonly { readonly name: string; readonly fallback: Expression | undefined }[];
  /** Whether the body reads `varargs`, `kwargs`: only then may more be passed than is declared. */
  readonly takesRest: boolean;
  readonly takesKeywords: boolean;
  readonly body: readonly Statement[];
}

type Body = readonly Statement[];

export type Statement = { readonly line: number } & (
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "print"; readonly value: Expression }
  | {
      readonly type: "if";
      readonly branches: readonly (readonly [Expression, Body])[];
      readonly otherwise: Body;
    }
  | {
      readonly type: "for";
      readonly target: Target;
      readonly iterable: Expression;
      readonly condition: Expression | undefined;
      readonly recursive: boolean;
      readonly body: Body;
      readonly otherwise: Body;
    }
  | { readonly type: "break" | "continue" }
  | { readonly type: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly type: "capture";
      readonly target: Target | undefined;
      readonly filter: Expression;
      readonly body: Body;
    }
  | {
      readonly type: "with";
      readonly values: readonly (readonly [Target, Expression])[];
      readonly body: Body;
    }
  | { readonly type: "macro"; readonly name: string; readonly macro: MacroSignature }
  | { readonly type: "callBlock"; readonly call: Expression; readonly caller: MacroSignature }
  /** `{% generation %}`: what the assistant said. */
  | { readonly type: "generation"; readonly body: Body }
);
