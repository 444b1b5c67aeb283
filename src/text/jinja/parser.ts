/** @file Statements of a template: what stands between the text. */

import type { Expression, MacroSignature, Statement, Target } from "./ast.js";
import { tokenize } from "./lexer.js";
import { ExpressionParser } from "./parse_expression.js";
import { TokenStream } from "./token_stream.js";
import type { TemplateError } from "./values.js";

type Body = Statement[];

class TemplateParser extends ExpressionParser {
  /** The tags that are open, innermost last: named when the template ends too early. */
  private readonly open: string[] = [];
  hasGeneration = false;

  /** Statements up to one of the tags `until`, whose name is left as the current token. */
  body(until: readonly string[]): Body {
    const statements: Body = [];
    for (;;) {
      const token = this.stream.next();
      const { line } = token;
      if (token.kind === "end") {
        if (until.length === 0) return statements;
        throw this.stream.fault(
          `Unexpected end of template: '${this.open.at(-1) ?? ""}' needs ${until.map((tag) => `'${tag}'`).join(" or ")}`,
        );
      }
      if (token.kind === "text") statements.push({ type: "text", text: token.text, line });
      else if (token.text === "print") {
        statements.push({ type: "print", value: this.tuple(), line });
        this.stream.expect("close");
      } else {
        if (this.stream.isName(...until)) return statements;
        statements.push(this.tag(line));
      }
    }
  }

  private tag(line: number): Statement {
    const name = this.stream.expect("name").text;
    this.open.push(name);
    const statement = this.statement(name, line);
    this.open.pop();
    return statement;
  }

  private statement(name: string, line: number): Statement {
    switch (name) {
      case "if":
        return this.ifStatement(line);
      case "for":
        return this.forStatement(line);
      case "set":
        return this.setStatement(line);
      case "macro":
        return this.macroStatement(line);
      case "call":
        return this.callStatement(line);
      case "with":
        return this.withStatement(line);
      case "break":
      case "continue":
        this.close();
        return { type: name, line };
      case "filter": {
        const filter = this.filter(this.filterCall({ type: "body" }));
        return { type: "capture", target: undefined, filter, body: this.blockBody("endfilter"), line };
      }
      case "generation":
        this.hasGeneration = true;
        return { type: "generation", body: this.blockBody("endgeneration"), line };
      default:
        throw this.unknownTag(name);
    }
  }

  private unknownTag(name: string): TemplateError {
    const open = this.open.at(-2);
    return this.stream.fault(
      `Encountered unknown tag '${name}'.${open === undefined ? "" : ` The innermost block that needs to be closed is '${open}'.`}`,
    );
  }

  private close(): void {
    this.stream.expect("close");
  }

  /** The rest of a tag, its body, and its end tag. */
  private blockBody(end: string): Body {
    this.close();
    const body = this.body([end]);
    this.stream.next();
    this.close();
    return body;
  }

  private ifStatement(line: number): Statement {
    const branches: [Expression, Body][] = [];
    let otherwise: Body = [];
    for (;;) {
      const condition = this.tuple({ withCondition: false });
      this.close();
      branches.push([condition, this.body(["elif", "else", "endif"])]);
      const tag = this.stream.next().text;
      if (tag === "elif") continue;
      if (tag === "else") otherwise = this.blockBody("endif");
      else this.close();
      return { type: "if", branches, otherwise, line };
    }
  }

  private forStatement(line: number): Statement {
    const target = this.target("in");
    this.stream.expect("name", "in");
    const iterable = this.tuple({ withCondition: false });
    const condition = this.stream.skip("name", "if") ? this.expression() : undefined;
    const recursive = this.stream.skip("name", "recursive");
    this.close();
    const body = this.body(["endfor", "else"]);
    let otherwise: Body = [];
    if (this.stream.next().text === "else") otherwise = this.blockBody("endfor");
    else this.close();
    return { type: "for", target, iterable, condition, recursive, body, otherwise, line };
  }

  private setStatement(line: number): Statement {
    const target = this.target();
    if (this.stream.skip("operator", "=")) {
      const value = this.tuple();
      this.close();
      return { type: "set", target, value, line };
    }
    const filter = this.filter({ type: "body" });
    return { type: "capture", target, filter, body: this.blockBody("endset"), line };
  }

  private withStatement(line: number): Statement {
    const values: [Target, Expression][] = [];
    while (!this.stream.is("close")) {
      if (values.length > 0) this.stream.expect("operator", ",");
      const target = this.oneTarget();
      this.stream.expect("operator", "=");
      values.push([target, this.expression()]);
    }
    return { type: "with", values, body: this.blockBody("endwith"), line };
  }

  private macroStatement(line: number): Statement {
    const name = this.stream.expect("name").text;
    return { type: "macro", name, macro: this.macro(name, "endmacro", () => this.close()), line };
  }

  private callStatement(line: number): Statement {
    let call: Expression | undefined;
    const caller = this.macro(undefined, "endcall", () => {
      call = this.expression();
      this.close();
    });
    if (call?.type !== "call") throw this.stream.fault("expected call");
    return { type: "callBlock", call, caller, line };
  }

  /** Parameters, what stands between them and the end of the tag, and the body. */
  private macro(name: string | undefined, end: string, afterParameters: () => void): MacroSignature {
    const parameters: { name: string; fallback: Expression | undefined }[] = [];
    if (name !== undefined || this.stream.is("operator", "(")) {
      this.stream.expect("operator", "(");
      while (!this.stream.skip("operator", ")")) {
        if (parameters.length > 0) this.stream.expect("operator", ",");
        const parameter = this.stream.expect("name").text;
        const fallback = this.stream.skip("operator", "=") ? this.expression() : undefined;
        if (fallback === undefined && parameters.at(-1)?.fallback !== undefined) {
          throw this.stream.fault("non-default argument follows default argument");
        }
        parameters.push({ name: parameter, fallback });
      }
    }
    afterParameters();
    const outer = this.names;
    this.names = new Set();
    const body = this.body([end]);
    const inner = this.names;
    this.names = new Set([...outer, ...inner]);
    this.stream.next();
    this.close();
    return { name, parameters, body, takesRest: inner.has("varargs"), takesKeywords: inner.has("kwargs") };
  }

  /** `a`, `a, b`, `(a, b)` or `namespace.attribute`, up to `end` or the end of the assignment. */
  private target(end?: string): Target {
    const first = this.oneTarget();
    if (!this.stream.is("operator", ",")) return first;
    const items = [first];
    while (this.stream.skip("operator", ",")) {
      if (this.stream.is("operator", "=") || (end !== undefined && this.stream.is("name", end))) break;
      items.push(this.oneTarget());
    }
    return { type: "tuple", items };
  }

  private oneTarget(): Target {
    if (this.stream.skip("operator", "(")) {
      const target = this.target();
      this.stream.expect("operator", ")");
      return target;
    }
    if (!this.stream.is("name")) throw this.stream.fault(`can't assign to '${this.stream.current.text}'`);
    const name = this.stream.next().text;
    if (!this.stream.skip("operator", ".")) return { type: "name", name };
    return { type: "namespace", name, attribute: this.stream.expect("name").text };
  }
}

/** The statements of a template, and whether it marks what the assistant generates. */
export function parse(source: string): { body: readonly Statement[]; hasGeneration: boolean } {
  const parser = new TemplateParser(new TokenStream(tokenize(source)));
  return { body: parser.body([]), hasGeneration: parser.hasGeneration };
}
