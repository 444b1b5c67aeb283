/** @file Renders conversations with a chat template as transformers does. */
import { Template } from "@huggingface/jinja";
import { CraftError } from "../errors.js";
import { run } from "./python_interpreter.js";
import type { Node } from "./template_blocks.js";
import { mendTemplate, pythonHelpers } from "./template_mends.js";

/** One turn of a conversation; templates may read more than role and content. */
export interface ChatMessage {
  readonly role: string;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** End with what begins an answer of the assistant. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** End inside the last message, so that the model goes on with its content, or with the field of the name. */
  readonly continueFinalMessage?: boolean | string;
  /** JSON schemas of the functions that the model may call. */
  readonly tools?: readonly object[] | undefined;
  /** Documents for templates that quote them. */
  readonly documents?: readonly object[] | undefined;
  /** A template, or the name of one of the tokenizer's. By default the tokenizer's own. */
  readonly chatTemplate?: string | undefined;
  /** Further variables of the template, such as enable_thinking. */
  readonly templateArguments?: Readonly<Record<string, unknown>> | undefined;
}

/** Start and end, exclusive, in UTF-16 units. */
export type Span = readonly [start: number, end: number];

export interface Rendered {
  readonly text: string;
  /** What stands between generation marks. */
  readonly spans: readonly Span[];
}

/** A template and how error messages call it. */
export interface NamedTemplate {
  readonly name: string;
  readonly source: string;
}

const optionNames = [
  "addGenerationPrompt",
  "continueFinalMessage",
  "tools",
  "documents",
  "chatTemplate",
  "templateArguments",
];

const generationTag = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g;

/** Whether a template says which parts are the assistant's. */
export function hasGenerationMarks({ source }: NamedTemplate): boolean {
  return source.search(generationTag) >= 0;
}

/**
 * Renders a conversation. Messages are rendered as they are; what a template does not accept it refuses itself.
 *
 * @param variables - what the template may read besides the conversation, such as bos_token
 * @throws {@link CraftError} naming the template, with its message, if it fails.
 */
export function renderChat(
  template: NamedTemplate,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  variables: Readonly<Record<string, unknown>>,
): Rendered {
  checkChat(options);
  const { addGenerationPrompt = false, continueFinalMessage = false, tools, documents } = options;
  const all = (conversation: readonly ChatMessage[]) => ({
    ...variables,
    ...options.templateArguments,
    messages: conversation,
    tools: tools ?? null,
    documents: documents ?? null,
    add_generation_prompt: addGenerationPrompt,
  });
  if (continueFinalMessage === false) return renderTemplate(template, all(messages));
  const { text, changed } = markEnd(
    messages,
    continueFinalMessage === true ? "content" : continueFinalMessage,
  );
  return { text: cutAtMark(renderTemplate(template, all(changed)).text, text, template), spans: [] };
}

function checkChat(options: RenderOptions): void {
  const unknown = Object.keys(options).find((name) => !optionNames.includes(name));
  if (unknown !== undefined) {
    const reason = `there is no such option; there are ${optionNames.join(", ")}, tokenize, returnAssistantTokensMask`;
    throw new CraftError({ subject: `chat template, option ${unknown}`, reason });
  }
  if ((options.continueFinalMessage ?? false) !== false && options.addGenerationPrompt === true) {
    throw new CraftError({
      subject: "continueFinalMessage",
      value: true,
      reason: "goes on with the last message, while addGenerationPrompt begins another one",
      remedy: "Leave one of them out",
    });
  }
}

/**
 * Renders a template with sentinels in place of its generation tags, which are then taken out again. The sentinels stand
 * in blocks of their own, so that white space around the tags is treated as around any block.
 */
export function renderTemplate(
  template: NamedTemplate,
  variables: Readonly<Record<string, unknown>>,
): Rendered {
  const [open, close] = unusedCharacters(template.source + JSON.stringify(variables));
  const source = template.source.replace(
    generationTag,
    (_, left: string, end: string | undefined, right: string) => {
      return `{%${left} if true %}${end === undefined ? open : close}{% endif ${right}%}`;
    },
  );
  let rendered: string;
  try {
    rendered = run(compile(source), { ...pythonHelpers, ...variables });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CraftError({
      subject: template.name,
      reason: `the template fails: ${message}`,
      remedy: "Give messages that it accepts, or another template as chatTemplate",
      cause: error,
    });
  }
  let text = "";
  const spans: Span[] = [];
  const starts: number[] = [];
  for (const part of rendered.split(new RegExp(`([${open}${close}])`))) {
    if (part === open) starts.push(text.length);
    else if (part === close) spans.push([starts.pop() ?? 0, text.length]);
    else text += part;
  }
  return { text, spans };
}

const compiled = new Map<string, Node>();

function compile(source: string): Node {
  let parsed = compiled.get(source);
  if (parsed === undefined) {
    parsed = new Template(source).parsed as Node;
    mendTemplate(parsed);
    if (compiled.size >= 32) compiled.clear();
    compiled.set(source, parsed);
  }
  return parsed;
}

/** Two private-use characters that are not in the text. */
function unusedCharacters(text: string): readonly [string, string] {
  const found: string[] = [];
  for (let code = 0xe000; code <= 0xf8ff && found.length < 2; code++) {
    const char = String.fromCharCode(code);
    if (!text.includes(char)) found.push(char);
  }
  const [open, close] = found;
  if (open !== undefined && close !== undefined) return [open, close];
  throw new CraftError({
    subject: "messages",
    reason: "use every private-use character, of which two are needed",
  });
}

const endMark = "CONTINUE_FINAL_MESSAGE_TAG ";

/** The conversation with a mark after the last text of its last message, and that text. */
function markEnd(
  messages: readonly ChatMessage[],
  field: string,
): { text: string; changed: readonly ChatMessage[] } {
  const last = messages.at(-1);
  const content = last?.[field];
  if (last !== undefined && typeof content === "string") {
    return { text: content, changed: [...messages.slice(0, -1), { ...last, [field]: content + endMark }] };
  }
  const blocks: readonly unknown[] = Array.isArray(content) ? content : [];
  const index = blocks.findLastIndex(isTextBlock);
  const block = blocks[index];
  if (last === undefined || !isTextBlock(block)) {
    throw new CraftError({
      subject: "continueFinalMessage",
      value: true,
      reason: `the last message has no text in ${field} to go on with`,
    });
  }
  const marked = blocks.with(index, { ...block, text: block.text + endMark });
  return { text: block.text, changed: [...messages.slice(0, -1), { ...last, [field]: marked }] };
}

function isTextBlock(block: unknown): block is { readonly text: string } {
  return typeof block === "object" && block !== null && "text" in block && typeof block.text === "string";
}

function cutAtMark(rendered: string, text: string, { name }: NamedTemplate): string {
  const at = rendered.lastIndexOf(endMark.trim());
  if (at < 0 || !rendered.includes(text.trim())) {
    throw new CraftError({
      subject: name,
      reason: "the template changes or leaves out the last message, so that it cannot be continued",
      remedy: "Leave continueFinalMessage out",
    });
  }
  // Where the mark lost its own space, the template trims messages, and what goes on is trimmed too.
  return rendered.startsWith(endMark, at) ? rendered.slice(0, at) : rendered.slice(0, at).trimEnd();
}
