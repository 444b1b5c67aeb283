/** @file Which tokens of a rendered chat the assistant generated. */

import { CraftError } from "../errors.js";
import type { ChatMessage, GenerationMarks } from "./chat_template.js";

/** UTF-16 units [start, end) of a text. */
export type Span = readonly [start: number, end: number];

export interface MarkedText {
  readonly text: string;
  /** What the assistant generates, in order. */
  readonly spans: readonly Span[];
}

/** Noncharacters: no text may hold them, so that two of them can stand for the ends of a block. */
const marks: GenerationMarks = { open: "\ufdd0", close: "\ufdd1" };

/**
 * Finds the `{% generation %}` blocks: renders once with marks around them and once without, and takes the
 * marks out. `render` is given the marks, or undefined for the plain text.
 * @throws CraftError if the template handles the text of a block in such a way that the marks change the outcome
 */
export function markedSpans(render: (marks?: GenerationMarks) => string): MarkedText {
  const text = render();
  const spans: Span[] = [];
  const open: number[] = [];
  let plain = "";
  for (const part of render(marks).split(/([\ufdd0\ufdd1])/)) {
    if (part === marks.open) open.push(plain.length);
    else if (part !== marks.close) plain += part;
    else {
      const start = open.pop();
      if (start === undefined) throw unclear();
      spans.push([start, plain.length]);
    }
  }
  if (plain !== text || open.length > 0) throw unclear();
  return { text, spans: spans.sort(([a], [b]) => a - b) };
}

function unclear(): CraftError {
  return new CraftError({
    subject: "returnAssistantTokensMask",
    reason:
      "the template changes the text of its {% generation %} blocks after they are rendered, so that they cannot be found in the chat",
    remedy: "Let the blocks stand directly around what is printed",
  });
}

/**
 * For templates without `{% generation %}`: each assistant turn is what the chat up to and including it has
 * more than the chat before it with a generation prompt.
 * @throws CraftError if a longer chat does not begin with the shorter one
 */
export function prefixSpans(
  messages: readonly ChatMessage[],
  addGenerationPrompt: boolean,
  render: (messages: readonly ChatMessage[], addGenerationPrompt: boolean) => string,
): MarkedText {
  const text = render(messages, addGenerationPrompt);
  const spans: Span[] = [];
  for (const [i, message] of messages.entries()) {
    if (message.role !== "assistant") continue;
    const before = i === 0 ? opening(render) : render(messages.slice(0, i), true);
    const after = render(messages.slice(0, i + 1), false);
    if (!after.startsWith(before))
      throw notNested(i, "opens this turn otherwise than its generation prompt does");
    if (!text.startsWith(after)) throw notNested(i, "writes this turn otherwise when more follows");
    spans.push([before.length, after.length]);
  }
  return { text, spans };
}

/** What stands before an assistant turn that begins the chat. */
function opening(render: (messages: readonly ChatMessage[], addGenerationPrompt: boolean) => string): string {
  try {
    return render([], true);
  } catch (cause) {
    if (!(cause instanceof CraftError)) throw cause;
    throw new CraftError({
      subject: "returnAssistantTokensMask",
      reason: `the chat begins with an assistant turn, and the template has no {% generation %} blocks and cannot render what comes before that turn (${cause.reason})`,
      remedy: "Begin the chat with a user turn, or give a chatTemplate with {% generation %} blocks",
      cause,
    });
  }
}

function notNested(turn: number, what: string): CraftError {
  return new CraftError({
    subject: "returnAssistantTokensMask",
    reason: `the template has no {% generation %} blocks, and it ${what} (message ${turn}), so that what the assistant wrote cannot be told from the rest`,
    remedy:
      "Give a chatTemplate with {% generation %} … {% endgeneration %} around what the assistant writes",
  });
}

/**
 * 1 for each token that shares a character with one of the spans, else 0. Where a character is several tokens,
 * all of them count; transformers counts only the first of those at the end of a block.
 * @param offsets for each token the units [start, end) it stands for, in order
 * @param spans in order, not overlapping
 */
export function maskOf(offsets: readonly Span[], spans: readonly Span[]): number[] {
  let at = 0;
  return offsets.map(([start, end]) => {
    while (at < spans.length && (spans[at]?.[1] ?? 0) <= start) at++;
    const span = spans[at];
    return span !== undefined && end > start && end > span[0] && span[1] > span[0] ? 1 : 0;
  });
}
