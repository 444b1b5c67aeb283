/** @file Cuts a template into text, expressions and tags, with Jinja's whitespace rules (trim_blocks, lstrip_blocks). */

import { TemplateError } from "./values.js";

/** `open` and `close` bracket an expression or tag; `name` to `operator` are what stands inside one. */
export type TokenKind =
  "text" | "open" | "close" | "name" | "string" | "integer" | "float" | "operator" | "end";

export interface Token {
  readonly kind: TokenKind;
  /** Of `open` and `close`: "print" or "tag". Of a string: its value. Else the text itself. */
  readonly text: string;
  readonly line: number;
}

const space = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const spaceRun = new RegExp(`${space}*`, "y");
const trailingSpace = new RegExp(`${space}+$`);
const onlySpace = new RegExp(`^${space}+$`);
const expressionTokens: readonly (readonly [TokenKind, RegExp])[] = [
  ["float", /(?<!\.)\d[\d_]*(?:\.\d[\d_]*(?:e[+-]?\d+)?|e[+-]?\d+)/iy],
  ["integer", /0x[\da-f]+|0o[0-7]+|0b[01]+|\d[\d_]*/iy],
  ["name", /[\p{L}_][\p{L}\p{M}\p{Nd}_]*/uy],
  ["string", /'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*"/y],
  ["operator", /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y],
];
const closers = new Map([
  ["(", ")"],
  ["[", "]"],
  ["{", "}"],
]);

class Lexer {
  private readonly source: string;
  private at = 0;
  private line = 1;
  /** Whether the last piece ended a line, so that what follows may be stripped from the line's start. */
  private atLineStart = true;
  private readonly tokens: Token[] = [];

  constructor(source: string) {
    this.source = source.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  }

  run(): Token[] {
    for (;;) {
      const start = this.nextOpening();
      if (start === undefined) break;
      this.text(start, this.source.slice(start, start + 2) !== "{{");
      const kind = this.source.slice(start, start + 2);
      const raw = kind === "{%" ? this.match(/\{%[-+]?\s*raw\s*(-?)%\}/y) : undefined;
      if (raw !== undefined) this.raw(raw[1] === "-");
      else if (kind === "{#") this.comment();
      else this.expression(kind === "{{" ? "print" : "tag");
    }
    const rest = this.source.slice(this.at);
    if (rest !== "") this.push("text", rest);
    this.push("end", "");
    return this.tokens;
  }

  private nextOpening(): number | undefined {
    const found = this.source.slice(this.at).search(/\{[{%#]/);
    return found < 0 ? undefined : this.at + found;
  }

  /** Emits the text before an opening, stripped as its sign or lstrip_blocks asks. */
  private text(end: number, isBlock: boolean): void {
    const text = this.source.slice(this.at, end);
    const stripped = this.stripBefore(text, this.source[end + 2], isBlock);
    if (stripped !== "") this.push("text", stripped);
    this.advance(end);
    if (text !== "") this.atLineStart = text.endsWith("\n");
  }

  private stripBefore(text: string, sign: string | undefined, isBlock: boolean): string {
    if (sign === "-") return text.replace(trailingSpace, "");
    if (sign === "+" || !isBlock) return text;
    const lineStart = text.lastIndexOf("\n") + 1;
    const ownLine = (lineStart > 0 || this.atLineStart) && onlySpace.test(text.slice(lineStart));
    return ownLine ? text.slice(0, lineStart) : text;
  }

  private raw(trimInside: boolean): void {
    const open = this.match(/\{%[-+]?\s*raw\s*-?%\}/y);
    this.advance(this.at + (open?.[0].length ?? 0));
    if (trimInside) this.skipSpace();
    this.atLineStart = false;
    const close = /\{%[-+]?\s*endraw\s*[-+]?%\}/g;
    close.lastIndex = this.at;
    const found = close.exec(this.source);
    if (found === null) throw new TemplateError("Missing end of raw directive", this.line);
    this.text(found.index, true);
    this.closeBlock(found[0]);
  }

  private comment(): void {
    const end = this.source.indexOf("#}", this.at + 2);
    if (end < 0) throw new TemplateError("Missing end of comment tag", this.line);
    this.closeBlock(this.source.slice(this.at, end + 2));
  }

  /** Passes a piece that ends a tag or comment, with the newline or spaces that go with it. */
  private closeBlock(piece: string): void {
    this.advance(this.at + piece.length);
    const sign = piece.at(-3); // undefined for a bare "%}"
    this.atLineStart = false;
    if (sign === "-") this.skipSpace();
    else if (sign !== "+" && this.source[this.at] === "\n") {
      this.advance(this.at + 1);
      this.atLineStart = true;
    }
  }

  private expression(kind: "print" | "tag"): void {
    const what = kind === "print" ? "print statement" : "statement block";
    this.push("open", kind);
    this.advance(this.at + (/[-+]/.test(this.source[this.at + 2] ?? "") ? 3 : 2));
    const expected: string[] = [];
    for (;;) {
      this.skipSpace();
      const close = expected.length > 0 ? undefined : this.match(kind === "print" ? /-?\}\}/y : /[-+]?%\}/y);
      if (close !== undefined) {
        this.push("close", kind);
        if (kind === "tag") this.closeBlock(close[0]);
        else {
          this.advance(this.at + close[0].length);
          this.atLineStart = false;
          if (close[0].startsWith("-")) this.skipSpace();
        }
        return;
      }
      if (this.at >= this.source.length) {
        throw new TemplateError(`unexpected end of template, expected 'end of ${what}'`, this.line);
      }
      this.expressionToken(expected);
    }
  }

  private expressionToken(expected: string[]): void {
    for (const [kind, pattern] of expressionTokens) {
      const found = this.match(pattern)?.[0];
      if (found === undefined) continue;
      if (kind === "operator") balance(found, expected, this.line);
      this.push(kind, kind === "string" ? unescape(found.slice(1, -1)) : found);
      this.advance(this.at + found.length);
      return;
    }
    throw new TemplateError(`unexpected char '${this.source[this.at] ?? ""}'`, this.line);
  }

  private match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.at;
    return pattern.exec(this.source) ?? undefined;
  }

  private skipSpace(): void {
    this.advance(this.at + (this.match(spaceRun)?.[0].length ?? 0));
  }

  private advance(to: number): void {
    for (let i = this.at; i < to; i++) if (this.source[i] === "\n") this.line++;
    this.at = to;
  }

  private push(kind: TokenKind, text: string): void {
    this.tokens.push({ kind, text, line: this.line });
  }
}

function balance(operator: string, expected: string[], line: number): void {
  const closer = closers.get(operator);
  if (closer !== undefined) expected.push(closer);
  else if (operator === ")" || operator === "]" || operator === "}") {
    const wanted = expected.pop();
    if (wanted !== operator) {
      const hint = wanted === undefined ? "" : `, expected '${wanted}'`;
      throw new TemplateError(`unexpected '${operator}'${hint}`, line);
    }
  }
}

const simpleEscapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "\n": "",
};

/** Python's escapes; an unknown one stays as it is written. */
function unescape(body: string): string {
  const pattern = /\\(?:x([\da-f]{2})|u([\da-f]{4})|U([\da-f]{8})|([0-7]{1,3})|([^]))/gi;
  return body.replace(pattern, (all, x?: string, u?: string, U?: string, octal?: string, char?: string) => {
    const code = x ?? u ?? U;
    if (code !== undefined) return String.fromCodePoint(parseInt(code, 16));
    if (octal !== undefined) return String.fromCodePoint(parseInt(octal, 8));
    return simpleEscapes[char ?? ""] ?? all;
  });
}

export function tokenize(source: string): Token[] {
  return new Lexer(source).run();
}
