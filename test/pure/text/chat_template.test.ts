import { describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import type { ChatMessage, Tokenizer } from "../../../src/text/index.js";
import { AutoTokenizer } from "../../../src/text/index.js";
import { fixture, fixturePath } from "./fixtures.js";

interface Case {
  readonly template: string;
  readonly chat: string;
  readonly options: {
    readonly add_generation_prompt?: boolean;
    readonly continue_final_message?: boolean;
    readonly tools?: readonly Record<string, unknown>[];
  };
  readonly rendered?: string;
  readonly ids?: readonly number[];
  readonly mask?: readonly number[];
  readonly error?: string;
}

const { templates, chats, cases } = fixture<{
  templates: Record<string, string>;
  chats: Record<string, ChatMessage[]>;
  cases: Record<"byte_level" | "byte_fallback", readonly Case[]>;
}>("chat.json");

const title = ({ template, chat, options }: Case) => `${template}, ${chat}, ${Object.keys(options).join()}`;
const byteLevel = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
const byteFallback = await AutoTokenizer.fromPretrained(fixturePath("byte_fallback"));

function argumentsOf({ template, chat, options }: Case) {
  return {
    messages: chats[chat] ?? [],
    options: {
      chatTemplate: templates[template],
      addGenerationPrompt: options.add_generation_prompt ?? false,
      continueFinalMessage: options.continue_final_message ?? false,
      tools: options.tools,
    },
  };
}

describe.each([
  ["byte_level", byteLevel],
  ["byte_fallback", byteFallback],
] as const)("chats by %s as transformers renders and tokenises them", (folder, tokenizer) => {
  const accepted = cases[folder].filter((one) => one.error === undefined);
  it.each(accepted.map((one) => [title(one), one] as const))("%s", (_title, one) => {
    const { messages, options } = argumentsOf(one);
    expect(tokenizer.applyChatTemplate(messages, { ...options, tokenize: false })).toBe(one.rendered);
    expect(tokenizer.applyChatTemplate(messages, options)).toEqual(one.ids);
    if (one.mask === undefined) return;
    const masked = tokenizer.applyChatTemplate(messages, { ...options, returnAssistantTokensMask: true });
    expect(masked).toEqual({ inputIds: one.ids, assistantMask: one.mask });
  });

  const refused = cases[folder].filter((one) => one.error !== undefined);
  it.each(refused.map((one) => [title(one), one] as const))("refuses %s", (_title, one) => {
    const { messages, options } = argumentsOf(one);
    expect(() => tokenizer.applyChatTemplate(messages, options)).toThrow(CraftError);
  });

  it("has masks, and refusals, to compare with", () => {
    expect(accepted.filter((one) => one.mask?.includes(1)).length).toBeGreaterThan(10);
    expect(refused.length).toBeGreaterThan(3);
  });
});

/** The text that the mask covers. */
function masked(tokenizer: Tokenizer, messages: readonly ChatMessage[], chatTemplate?: string): string {
  const { inputIds, assistantMask } = tokenizer.applyChatTemplate(messages, {
    returnAssistantTokensMask: true,
    chatTemplate,
  });
  return tokenizer.decode(inputIds.filter((_, i) => assistantMask[i] === 1));
}

const twoTurns = chats["system and two turns"] ?? [];

describe("the assistant mask", () => {
  it("covers all bytes of a character that ends a block", () => {
    const template =
      "{% for m in messages %}{{ m.role }}:{% generation %}{{ m.content }}{% endgeneration %};{% endfor %}";
    expect(masked(byteLevel, [{ role: "a", content: "né 👍🏽" }], template)).toBe("né 👍🏽");
    expect(masked(byteFallback, [{ role: "a", content: "né 👍🏽" }], template)).toBe("né 👍🏽");
  });

  it("leaves an empty block alone", () => {
    const template =
      "{% for m in messages %}{{ m.role }}{% generation %}{{ m.content }}{% endgeneration %}.{% endfor %}";
    expect(masked(byteLevel, [{ role: "a", content: "" }], template)).toBe("");
  });

  it("finds blocks inside macros and captured text", () => {
    const template =
      "{% macro say(m) %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endmacro %}" +
      "{% for m in messages %}{% set line %}{{ m.role }} {{ say(m) }}{% endset %}{{ line }}{% endfor %}";
    const messages = [
      { role: "a", content: "one" },
      { role: "b", content: "two" },
    ];
    expect(masked(byteLevel, messages, template)).toBe("onetwo");
  });

  it("is refused where a template changes the text of its blocks", () => {
    const template =
      "{% set all %}{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{% endset %}{{ all | length }}";
    expect(() => masked(byteLevel, [{ role: "assistant", content: "x" }], template)).toThrow(
      /changes the text of its \{% generation %\} blocks/,
    );
  });

  it("without marks, covers what each assistant turn adds behind the generation prompt", () => {
    // By hand from the ChatML template: content, <|im_end|> and the line break that closes the turn.
    expect(masked(byteLevel, twoTurns)).toBe(
      "Près de la rivière 👍🏽.<|im_end|>\nKept\n\nas they are\n<|im_end|>\n",
    );
    expect(masked(byteFallback, chats["answered"] ?? [])).toContain("It is 4.</s>");
    expect(masked(byteLevel, [{ role: "user", content: "only a question" }])).toBe("");
  });

  it("without marks, a generation prompt at the end is not covered", () => {
    const { inputIds, assistantMask } = byteLevel.applyChatTemplate(chats["answered"] ?? [], {
      returnAssistantTokensMask: true,
      addGenerationPrompt: true,
    });
    expect(byteLevel.decode(inputIds.slice(assistantMask.lastIndexOf(1) + 1))).toBe(
      "<|im_start|>assistant\n",
    );
  });

  it("without marks, is refused where earlier turns change when more follow", () => {
    expect(() => masked(byteLevel, chats["thinking"] ?? [], templates["qwen3"])).toThrow(CraftError);
    expect(() => masked(byteLevel, chats["thinking"] ?? [], templates["qwen3"])).toThrow(
      /no \{% generation %\} blocks, and it .* \(message 1\)/,
    );
  });

  it("without marks, is refused where the chat begins with the assistant and nothing can be put before it", () => {
    const chat = [{ role: "assistant", content: "I begin" }];
    expect(() => masked(byteLevel, chat, templates["chatml"])).toThrow(
      /the chat begins with an assistant turn/,
    );
  });
});

describe("choice of the template", () => {
  const [question] = chats["one question"] ?? [];
  const messages = question === undefined ? [] : [question];

  it("takes the template named for tools when tools are given, and any by its name", () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const plain = byteFallback.applyChatTemplate(messages, { tokenize: false });
    const named = byteFallback.applyChatTemplate(messages, { tokenize: false, chatTemplate: "tool_use" });
    expect(plain).toContain("[INST]");
    expect(named).toContain("<|im_start|>");
    expect(byteFallback.applyChatTemplate(messages, { tokenize: false, tools })).toContain(
      '{"type": "function"',
    );
  });

  it("gives arguments to the template, before special tokens of the same name", () => {
    const chatTemplate = "{{ bos_token }}{{ eos_token }}{{ mood }}{{ documents[0].title }}";
    const text = byteLevel.applyChatTemplate(messages, {
      tokenize: false,
      chatTemplate,
      documents: [{ title: "T" }],
      templateArguments: { mood: "calm", eos_token: "!" },
    });
    expect(text).toBe("<|bos|>!calmT");
  });

  it("says so when there is none", async () => {
    const { Tokenizer: Plain } = await import("../../../src/text/index.js");
    const bare = new Plain({
      tokenizerJson: fixture<unknown>("byte_level/tokenizer.json"),
      name: "models/bare",
    });
    expect(() => bare.applyChatTemplate(messages)).toThrow("chatTemplate: models/bare has no chat template.");
  });
});

describe("refusals", () => {
  const chat = chats["answered"] ?? [];

  it("names the template, the line and its own message when it throws", () => {
    const wrong = chats["wrong order"] ?? [];
    expect(() => byteFallback.applyChatTemplate(wrong)).toThrow(CraftError);
    expect(() => byteFallback.applyChatTemplate(wrong)).toThrow(
      /^the chat template of .*byte_fallback, line 13: After the optional system message, roles must alternate/,
    );
    expect(() =>
      byteLevel.applyChatTemplate(chat, { chatTemplate: "a\n{{ messages[0].nothing.deep }}" }),
    ).toThrow("the given chat template, line 2: 'dict object' has no attribute 'nothing'");
  });

  it("names a template that cannot be parsed", () => {
    expect(() => byteLevel.applyChatTemplate(chat, { chatTemplate: "{% for m in messages %}" })).toThrow(
      /the given chat template, line 1: Unexpected end of template/,
    );
  });

  it("refuses an empty chat and options that contradict each other", () => {
    expect(() => byteLevel.applyChatTemplate([])).toThrow("messages: the chat is empty");
    const both = { continueFinalMessage: true, addGenerationPrompt: true };
    expect(() => byteLevel.applyChatTemplate(chat, both)).toThrow(
      /cannot be combined with addGenerationPrompt/,
    );
    expect(() =>
      byteLevel.applyChatTemplate(chat, { continueFinalMessage: true, returnAssistantTokensMask: true }),
    ).toThrow(/cannot be combined with continueFinalMessage/);
  });

  it("continues another field, or the last text of several blocks", () => {
    const chatTemplate = "{% for m in messages %}<{{ m.thoughts }}|{{ m.content }}>{% endfor %}";
    const messages = [{ role: "assistant", content: "c", thoughts: "so far" }];
    const options = { tokenize: false, chatTemplate } as const;
    expect(byteLevel.applyChatTemplate(messages, { ...options, continueFinalMessage: "thoughts" })).toBe(
      "<so far",
    );
    const blocks = [{ role: "assistant", content: [{ type: "text", text: "one" }, { type: "image" }] }];
    const parts =
      "{% for m in messages %}{% for b in m.content %}{{ b.text }}{{ b.type }}{% endfor %}{% endfor %}";
    expect(
      byteLevel.applyChatTemplate(blocks, {
        tokenize: false,
        chatTemplate: parts,
        continueFinalMessage: true,
      }),
    ).toBe("one");
    expect(() =>
      byteLevel.applyChatTemplate(messages, { ...options, continueFinalMessage: "missing" }),
    ).toThrow(/does not read this field/);
  });
});
