/** @file Which tokens of a conversation the assistant said. */
import { CraftError } from "../errors.js";
import type { ChatMessage, Span } from "./chat_template.js";
import type { Offset } from "./offsets.js";

/**
 * 1 for the tokens of the spans, 0 for others: from the token that holds a span's first character to the first token that
 * holds its last one, as transformers does.
 */
export function maskOf(offsets: readonly Offset[], spans: readonly Span[]): number[] {
  const mask = offsets.map(() => 0);
  for (const [start, end] of spans) {
    if (start === end) continue;
    const first = offsets.findIndex(([, tokenEnd]) => tokenEnd > start);
    const last = offsets.findIndex(([, tokenEnd]) => tokenEnd > end - 1);
    if (first >= 0) mask.fill(1, first, last < 0 ? undefined : last + 1);
  }
  return mask;
}

/**
 * The assistant's parts of a conversation whose template does not mark them: what each of its turns adds to the text,
 * after what begins an answer.
 *
 * @throws {@link CraftError} naming the template if the text up to a turn is not the start of the whole text.
 */
export function spansByPrefix(
  messages: readonly ChatMessage[],
  text: string,
  render: (messages: readonly ChatMessage[], addGenerationPrompt: boolean) => string,
  name: string,
): Span[] {
  const spans: Span[] = [];
  messages.forEach(({ role }, index) => {
    if (role !== "assistant") return;
    let before: string;
    let after: string;
    try {
      before = render(messages.slice(0, index), true);
      after = render(messages.slice(0, index + 1), false);
    } catch (cause) {
      throw refused(name, `the template refuses the conversation up to message ${index}`, cause);
    }
    if (!after.startsWith(before) || !text.startsWith(after)) {
      throw refused(
        name,
        `the text up to message ${index} is not the start of the text of the whole conversation`,
      );
    }
    spans.push([before.length, after.length]);
  });
  return spans;
}

function refused(name: string, problem: string, cause?: unknown): CraftError {
  return new CraftError({
    subject: name,
    reason: `has no generation marks, and what the assistant says cannot be told without: ${problem}`,
    remedy: "Give a chatTemplate with {% generation %} and {% endgeneration %} around the assistant's text",
    cause,
  });
}
