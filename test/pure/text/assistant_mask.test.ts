import { describe, expect, it } from "vitest";
import { AutoTokenizer, type ChatMessage, type ChatTemplateOptions } from "../../../src/text/index.js";
import type { RowTokenizer } from "../../../src/data/row_tokenizer.js";
import { maskOf } from "../../../src/text/assistant_mask.js";
import { fixture, fixturePath } from "./fixtures.js";

const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
const { templates } = fixture<{ templates: Record<string, string> }>("chat.json");

/** What the assistant said, each token apart. */
function said(messages: readonly ChatMessage[], options: ChatTemplateOptions): string[] {
  const { inputIds, assistantMask } = tokenizer.applyChatTemplate(messages, {
    ...options,
    returnAssistantTokensMask: true,
  });
  expect(assistantMask).toHaveLength(inputIds.length);
  return inputIds.filter((_, index) => assistantMask[index] === 1).map((id) => tokenizer.decode([id]));
}

const twoTurns: ChatMessage[] = [
  { role: "user", content: "one" },
  { role: "assistant", content: "uno" },
  { role: "user", content: "two" },
  { role: "assistant", content: "dos" },
];

describe("maskOf", () => {
  it("goes from the token of the first character to that of the last one", () => {
    const offsets = [
      [0, 2],
      [2, 5],
      [5, 6],
      [6, 9],
    ] as const;
    expect(maskOf(offsets, [[3, 6]])).toEqual([0, 1, 1, 0]);
    expect(
      maskOf(offsets, [
        [0, 1],
        [8, 9],
      ]),
    ).toEqual([1, 0, 0, 1]);
    expect(maskOf(offsets, [[5, 5]])).toEqual([0, 0, 0, 0]);
    expect(maskOf(offsets, [[6, 12]])).toEqual([0, 0, 0, 1]);
    expect(maskOf(offsets, [[20, 22]])).toEqual([0, 0, 0, 0]);
  });
});

describe("a template without marks", () => {
  it("gives what each turn of the assistant adds after what begins an answer", () => {
    const text = said(twoTurns, { chatTemplate: templates["chatml"]! }).join("");
    expect(text).toBe("uno<|im_end|>\ndos<|im_end|>\n");
  });

  it("is refused where earlier turns read otherwise once others follow", () => {
    const thinking = twoTurns.map((message) =>
      message.role === "assistant"
        ? { ...message, content: `<think>\nhm\n</think>\n\n${String(message["content"])}` }
        : message,
    );
    expect(() => said(thinking, { chatTemplate: templates["qwen3"]! })).toThrow(
      /no generation marks.*message 1 is not the start.*generation %/,
    );
  });

  it("is refused where the template does not take the start of the conversation", () => {
    const chatTemplate =
      "{% if messages|length < 4 %}{{ raise_exception('too short') }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}";
    expect(() => said(twoTurns, { chatTemplate })).toThrow(/refuses the conversation up to message 1/);
  });
});

describe("marks", () => {
  const source =
    "{% for m in messages %}{{ m.role }}:{% generation %} {{ m.content }}{% endgeneration %};{% endfor %}";

  it("do not show in the text, and messages may hold the characters that stand for them", () => {
    const messages = [{ role: "a", content: "x\ue000y\ue001z" }];
    expect(tokenizer.renderChatTemplate(messages, { chatTemplate: source })).toBe("a: x\ue000y\ue001z;");
    expect(said(messages, { chatTemplate: source }).join("")).toContain("x");
  });

  it("keep the white space control of their tags", () => {
    const messages = [{ role: "a", content: "b" }];
    const render = (chatTemplate: string) => tokenizer.renderChatTemplate(messages, { chatTemplate });
    expect(render("a  {%- generation -%}  b  {%- endgeneration -%}  c")).toBe("abc");
    expect(render("a\n  {% generation %}\n  b\n  {% endgeneration %}\nc")).toBe("a\n  b\nc");
    expect(render("a {%generation%} b {%endgeneration%} c")).toBe("a  b  c");
  });
});

describe("templates that fail", () => {
  const render =
    (options: ChatTemplateOptions, messages = twoTurns) =>
    () =>
      tokenizer.renderChatTemplate(messages, options);

  it("are named, with their message", () => {
    expect(render({ chatTemplate: "{{ raise_exception('roles must alternate') }}" })).toThrow(
      /^chatTemplate: the template fails: roles must alternate\./,
    );
    expect(render({ chatTemplate: "{% if %}" })).toThrow(/^chatTemplate: the template fails/);
  });

  it("cannot go on with a message that has no text or that they leave out", () => {
    const options = { continueFinalMessage: true };
    expect(render({ ...options, addGenerationPrompt: true })).toThrow(/addGenerationPrompt begins another/);
    expect(render(options, [{ role: "assistant", content: null }])).toThrow(
      /no text in content to go on with/,
    );
    expect(render({ ...options, chatTemplate: "nothing" })).toThrow(/changes or leaves out the last message/);
    const thinking = [{ role: "assistant", content: "", thought: " hm " }];
    const chatTemplate = "{{ messages[0].thought|trim }}!";
    expect(tokenizer.renderChatTemplate(thinking, { chatTemplate, continueFinalMessage: "thought" })).toBe(
      "hm",
    );
    expect(() => said(twoTurns, options)).toThrow(/nor for a last message/);
  });

  it("are looked for by name, and there may be none", async () => {
    const named = await AutoTokenizer.fromPretrained(fixturePath("byte_fallback"));
    const tools = [{ type: "function", function: { name: "f" } }];
    const one = twoTurns.slice(0, 1);
    expect(named.renderChatTemplate(one)).toBe("<s>[INST] one[/INST]");
    expect(named.renderChatTemplate(one, { tools })).toContain("<|im_start|>");
    expect(named.renderChatTemplate(one, { chatTemplate: "tool_use" })).toBe(
      "<|im_start|>user\none<|im_end|>\n",
    );
    const unknown: object = { addGenerationPromt: true };
    expect(() => named.renderChatTemplate(one, unknown)).toThrow(
      /addGenerationPromt: there is no such option/,
    );
  });
});

it("is what data preparation programs against", () => {
  const forRows: RowTokenizer = tokenizer;
  const ids = forRows.applyChatTemplate(twoTurns, { tokenize: true, returnAssistantTokensMask: false });
  expect(forRows.applyChatTemplate(twoTurns, { returnAssistantTokensMask: true }).inputIds).toEqual(ids);
  expect(forRows.eosTokenId).toBe(601);
});
