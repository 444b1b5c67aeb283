import type { Token, TokenKind } from "./lexer.js";
import { TemplateError } from "./values.js";

/** The tokens of a template, read one after the other. */
export class TokenStream {
  private readonly tokens: readonly Token[];
  private position = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  get current(): Token {
    return this.tokens[Math.min(this.position, this.tokens.length - 1)] ?? { kind: "end", text: "", line: 1 };
  }

  next(): Token {
    const token = this.current;
    this.position++;
    return token;
  }

  is(kind: TokenKind, text?: string): boolean {
    return this.current.kind === kind && (text === undefined || this.current.text === text);
  }

  isName(...names: readonly string[]): boolean {
    return this.current.kind === "name" && names.includes(this.current.text);
  }

  /** Whether the tokens after the current one begin with this name. */
  followedByName(name: string): boolean {
    const token = this.tokens[this.position + 1];
    return token?.kind === "name" && token.text === name;
  }

  skip(kind: TokenKind, text?: string): boolean {
    const found = this.is(kind, text);
    if (found) this.position++;
    return found;
  }

  expect(kind: TokenKind, text?: string): Token {
    if (!this.is(kind, text)) {
      throw this.fault(
        `expected ${describe(kind, text)}, got ${describe(this.current.kind, this.current.text)}`,
      );
    }
    return this.next();
  }

  fault(message: string): TemplateError {
    return new TemplateError(message, this.current.line);
  }

  unexpected(): TemplateError {
    return this.fault(`unexpected ${describe(this.current.kind, this.current.text)}`);
  }
}

function describe(kind: TokenKind, text?: string): string {
  if (kind === "end") return "end of template";
  if (kind === "close") return text === "print" ? "end of print statement" : "end of statement block";
  return text === undefined ? `a ${kind}` : `'${text}'`;
}
