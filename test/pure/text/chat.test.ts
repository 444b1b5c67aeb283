import { describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import { AutoTokenizer, type ChatMessage } from "../../../src/text/index.js";
import { fixture, fixturePath } from "./fixtures.js";

interface ChatCase {
  template: string;
  chat: string;
  options: { add_generation_prompt?: true; continue_final_message?: true; tools?: object[] };
  rendered?: string;
  ids?: number[];
  mask?: number[];
  error?: string;
}
const { templates, chats, cases } = fixture<{
  templates: Record<string, string>;
  chats: Record<string, ChatMessage[]>;
  cases: Record<string, ChatCase[]>;
}>("chat.json");

describe.each(Object.keys(cases))("conversations with the %s tokenizer", async (folder) => {
  const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));

  it.each(cases[folder]!)("$template: $chat, $options", ({ template, chat, options, ...python }) => {
    const messages = chats[chat]!;
    const ours = {
      chatTemplate: templates[template]!,
      ...(options.add_generation_prompt && { addGenerationPrompt: true }),
      ...(options.continue_final_message && { continueFinalMessage: true }),
      ...(options.tools && { tools: options.tools }),
    };
    if (python.error !== undefined) {
      expect(() => tokenizer.renderChatTemplate(messages, ours)).toThrow(CraftError);
      return;
    }
    expect(tokenizer.renderChatTemplate(messages, ours)).toBe(python.rendered);
    expect(tokenizer.applyChatTemplate(messages, { ...ours, tokenize: false })).toBe(python.rendered);
    expect(tokenizer.applyChatTemplate(messages, ours)).toEqual(python.ids);
    if (python.mask === undefined) return;
    expect(tokenizer.applyChatTemplate(messages, { ...ours, returnAssistantTokensMask: true })).toEqual({
      inputIds: python.ids,
      assistantMask: python.mask,
    });
  });
});
