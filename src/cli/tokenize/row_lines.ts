/** @file A row as lines of text: a line for each stretch of tokens of one role that are trained or are not. */
import type { ShownRow, ShownToken } from "./shown_row.js";

const [green, dim, bold, underline, reset] = [
  "\u001b[32m",
  "\u001b[2m",
  "\u001b[1m",
  "\u001b[4m",
  "\u001b[0m",
];

/**
 * Without colours, tokens are set apart by `|`, and lines of trained ones begin with `*`. With colours, trained ones are
 * green, others dim, and every other token is underlined.
 */
export function rowLines({ where, tokens }: ShownRow, colours: boolean): string {
  const trained = tokens.filter((token) => token.trained).length;
  const title = `${where}: ${tokens.length} tokens, ${trained} trained`;
  const width = Math.max(...tokens.map(({ role }) => (role ?? "?").length));
  const lines = stretches(tokens).map((stretch) => {
    const { role, trained: isTrained } = stretch[0]!;
    const head = `${isTrained ? "*" : " "} ${(role ?? "?").padEnd(width)} `;
    return `${head} ${colours ? coloured(stretch, isTrained) : stretch.map(({ text }) => visible(text)).join("|")}\n`;
  });
  return `${colours ? bold + title + reset : title}\n${lines.join("")}`;
}

function stretches(tokens: readonly ShownToken[]): ShownToken[][] {
  const found: ShownToken[][] = [];
  for (const token of tokens) {
    const last = found.at(-1);
    if (last !== undefined && last[0]!.role === token.role && last[0]!.trained === token.trained)
      last.push(token);
    else found.push([token]);
  }
  return found;
}

const coloured = (tokens: readonly ShownToken[], isTrained: boolean): string =>
  tokens
    .map(({ text }, i) => `${isTrained ? green : dim}${i % 2 === 1 ? underline : ""}${visible(text)}${reset}`)
    .join("");

/** White space that would break the line, and what steers a terminal, as signs. */
const visible = (text: string): string =>
  text
    .replaceAll("\n", "⏎")
    .replaceAll("\r", "␍")
    .replaceAll("\t", "⇥")
    .replace(/\p{Cc}/gu, (char) => `\\x${char.codePointAt(0)!.toString(16).padStart(2, "0")}`);
