/** @file Chats to text, by the template that comes with a model. */

import { CraftError } from "../errors.js";
import { Template } from "./jinja/template.js";
import { TemplateError } from "./jinja/values.js";

/** A turn of a chat: templates read `role` and `content`, and some more, such as `tool_calls`. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

export interface RenderChatOptions {
  /** Ends with the opening of an assistant turn. */
  readonly addGenerationPrompt?: boolean;
  /**
   * Leaves the last turn open, so that the model goes on with it: `true` for its content, or the name of
   * another field of it.
   */
  readonly continueFinalMessage?: boolean | string;
  /** JSON schemas of tools that the assistant may call. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[] | undefined;
  /** Documents for templates that quote them. */
  readonly documents?: readonly Readonly<Record<string, unknown>>[] | undefined;
  /** Another template than the model's: its text, or the name of one of the model's named templates. */
  readonly chatTemplate?: string | undefined;
  /** Further variables; they win over special tokens of the same name. */
  readonly templateArguments?: Readonly<Record<string, unknown>> | undefined;
}

/** Texts that mark where a `{% generation %}` block starts and ends. */
export interface GenerationMarks {
  readonly open: string;
  readonly close: string;
}

export class ChatTemplate {
  readonly source: string;
  private readonly name: string;
  private readonly template: Template;

  /** @throws CraftError if the template cannot be parsed */
  constructor(source: string, name: string) {
    this.source = source;
    this.name = name;
    this.template = this.explained(
      "Mend the template, or give another one as chatTemplate",
      () => new Template(source),
    );
  }

  /** Whether the template marks what the assistant generates. */
  get hasGeneration(): boolean {
    return this.template.hasGeneration;
  }

  /** @throws CraftError with the message of the template, if it refuses the chat or fails */
  render(
    messages: readonly ChatMessage[],
    options: RenderChatOptions,
    specialTokens: Readonly<Record<string, string>>,
    marks?: GenerationMarks,
  ): string {
    const variables = {
      ...specialTokens,
      messages,
      tools: options.tools ?? null,
      documents: options.documents ?? null,
      add_generation_prompt: options.addGenerationPrompt ?? false,
      ...options.templateArguments,
    };
    return this.explained(
      "Change the messages to what the template accepts, or give another template as chatTemplate",
      () => this.template.render(variables, marks === undefined ? {} : { marks }),
    );
  }

  private explained<Result>(remedy: string, run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw new CraftError({
        subject: error.line === undefined ? this.name : `${this.name}, line ${error.line}`,
        reason: error.message,
        remedy,
        cause: error,
      });
    }
  }
}

const continueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

/**
 * Renders a chat whose last turn is left open: a tag is put at its end, and the text is cut there.
 * @throws CraftError if the last turn has no such text, or the template does not print it
 */
export function renderOpenEnded(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderChatOptions,
  specialTokens: Readonly<Record<string, string>>,
): string {
  const field = typeof options.continueFinalMessage === "string" ? options.continueFinalMessage : "content";
  const last = messages.at(-1);
  const refuse = (reason: string) =>
    new CraftError({ subject: "continueFinalMessage", value: field, reason });
  if (last === undefined) throw refuse("there is no message");
  if (!template.source.includes(field)) throw refuse("the template does not read this field");
  const tagged = tagLastText(last[field]);
  if (tagged === undefined) throw refuse("the final message has no text in this field to go on with");
  const rendered = template.render(
    [...messages.slice(0, -1), { ...last, [field]: tagged.value }],
    options,
    specialTokens,
  );
  const at = rendered.lastIndexOf(continueTag.trim());
  if (at < 0 || !rendered.includes(tagged.text.trim())) {
    throw refuse("the template drops or changes the final message, so that it cannot be gone on with");
  }
  const isKept = rendered.startsWith(continueTag, at);
  return isKept ? rendered.slice(0, at) : rendered.slice(0, at).trimEnd();
}

/** The field with the tag behind its text, or behind the last block that has a text. */
function tagLastText(value: unknown): { value: unknown; text: string } | undefined {
  if (typeof value === "string") return { value: value + continueTag, text: value };
  if (!Array.isArray(value)) return undefined;
  const blocks: readonly unknown[] = value;
  const at = blocks.findLastIndex((block) => textOfBlock(block) !== undefined);
  const text = textOfBlock(blocks[at]);
  if (text === undefined) return undefined;
  const tagged = blocks.map((block, i) => {
    return i === at && typeof block === "object" ? { ...block, text: text + continueTag } : block;
  });
  return { value: tagged, text };
}

function textOfBlock(block: unknown): string | undefined {
  return typeof block === "object" && block !== null && "text" in block && typeof block.text === "string"
    ? block.text
    : undefined;
}
