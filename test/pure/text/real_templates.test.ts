/** @file Chat templates of real models against transformers (parity/real_templates.py). */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { spansByPrefix } from "../../../src/text/assistant_mask.js";
import { renderChat, type ChatMessage, type RenderOptions } from "../../../src/text/chat_template.js";
import { CraftError } from "../../../src/errors.js";
import { fixture } from "./fixtures.js";
import { realTemplates } from "./real_templates.js";

interface Options {
  add_generation_prompt?: boolean;
  tools?: object[];
  documents?: object[];
  arguments?: Record<string, unknown>;
}
const { now, variables, conversations, options, rendered, marked } = fixture<{
  now: [number, number, number, number, number, number];
  variables: Record<string, string>;
  conversations: Record<string, ChatMessage[]>;
  options: Options[];
  rendered: Record<string, (string | null)[]>;
  marked: Record<string, Record<string, { text: string; said: string[] }>>;
}>("real_templates.json");
const templates = await realTemplates();

beforeAll(() => {
  const [year, month, ...rest] = now;
  vi.useFakeTimers({ now: new Date(year, month - 1, ...rest) });
});
afterAll(() => vi.useRealTimers());

function ours(given: Options): RenderOptions {
  return {
    ...(given.add_generation_prompt && { addGenerationPrompt: true }),
    ...(given.tools && { tools: given.tools }),
    ...(given.documents && { documents: given.documents }),
    ...(given.arguments && { templateArguments: given.arguments }),
  };
}

const cases = Object.entries(conversations).flatMap(([title, messages]) =>
  options.map((given) => ({ title: `${title}, ${Object.keys(given).join("+")}`, messages, given })),
);

describe("templates of real models render as in transformers", () => {
  it("of which there are many", () => {
    expect(new Set(templates.values()).size).toBeGreaterThan(90);
    expect([...templates.keys()].sort()).toEqual(Object.keys(rendered).sort());
  });

  it.each([...templates])("%s", (name, source) => {
    const differing = cases.flatMap(({ title, messages, given }, i) => {
      const python = rendered[name]![i];
      try {
        const { text } = renderChat({ name, source }, messages, ours(given), variables);
        const hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
        return hash === python
          ? []
          : [`${title}: ${python === null ? "Python refuses" : "another text"}: ${JSON.stringify(text)}`];
      } catch (error) {
        expect(error).toBeInstanceOf(CraftError);
        return python === null ? [] : [`${title}: ${String(error)}`];
      }
    });
    expect(differing).toEqual([]);
  });
});

/** Templates that drop or add text of earlier turns, so that what a turn adds cannot be told. */
const notNesting = /^(deepcoder|phi3)/;

describe("the assistant's parts by prefix rendering are what TRL's training template marks", () => {
  for (const [name, chats] of Object.entries(marked)) {
    it.each(Object.entries(chats))(`${name}: %s`, (chat, python) => {
      const template = { name, source: templates.get(name)! };
      const render = (messages: readonly ChatMessage[], addGenerationPrompt: boolean) =>
        renderChat(template, messages, { addGenerationPrompt }, variables).text;
      const text = render(conversations[chat]!, false);
      const said = () =>
        spansByPrefix(conversations[chat]!, text, render, name).map(([a, b]) => text.slice(a, b));
      if (notNesting.test(name) && !(name.startsWith("phi3") && chat === "answered")) {
        expect(said).toThrow(/is not the start of the text of the whole conversation.*generation/);
        return;
      }
      expect(text).toBe(python.text);
      // TRL's marks end before the line break behind a turn, ours after it.
      const words = (parts: readonly string[]) => parts.map((part) => part.trim()).join("\n");
      expect(words(said())).toBe(words(python.said));
    });
  }
});
