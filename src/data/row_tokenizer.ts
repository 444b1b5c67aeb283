/** @file What preparing rows asks of a tokenizer, and conversations to tokens. */
import { CraftError } from "../errors.js";
import type { ChatMessage, ChatTemplateOptions, MaskedChat } from "../text/index.js";
import { column, type TokenIds } from "./tokens.js";

/** The part of a `Tokenizer` that rows need. */
export interface RowTokenizer {
  /** The token that ends a text, if there is one. */
  readonly eosToken: string | undefined;
  readonly eosTokenId: number | undefined;
  /** The ids of a text with the special tokens that the tokenizer puts around it. */
  encode(text: string): TokenIds;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions & { returnAssistantTokensMask: true },
  ): MaskedChat;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatTemplateOptions & { tokenize?: true; returnAssistantTokensMask?: false },
  ): TokenIds;
}

/** A conversation as tokens; the mask has 1 for each token that the assistant said. */
export interface EncodedChat {
  readonly ids: TokenIds;
  readonly assistantMask?: TokenIds;
}

/**
 * Tokens of a conversation by the tokenizer's chat template, with the row's columns `tools` (a list, or its JSON) and
 * `chat_template_kwargs` (further variables of the template).
 *
 * @throws {@link CraftError} naming the row if the template refuses the conversation.
 */
export function encodeChat(
  tokenizer: RowTokenizer,
  messages: readonly ChatMessage[],
  row: object,
  where: string,
  ask: { readonly addGenerationPrompt?: boolean; readonly assistantMask?: boolean } = {},
): EncodedChat {
  const options: ChatTemplateOptions = {
    addGenerationPrompt: ask.addGenerationPrompt ?? false,
    ...templateColumns(row, where),
  };
  try {
    if (ask.assistantMask !== true)
      return {
        ids: tokenizer.applyChatTemplate(messages, {
          ...options,
          tokenize: true,
          returnAssistantTokensMask: false,
        }),
      };
    const { inputIds, assistantMask } = tokenizer.applyChatTemplate(messages, {
      ...options,
      returnAssistantTokensMask: true,
    });
    return { ids: inputIds, assistantMask };
  } catch (cause) {
    if (!(cause instanceof CraftError)) throw cause;
    const { subject, value, reason, remedy } = cause;
    throw new CraftError({
      subject: `${where}, ${subject}`,
      reason,
      cause,
      ...(value !== undefined && { value }),
      ...(remedy !== undefined && { remedy }),
    });
  }
}

/** What a row's columns `tools` and `chat_template_kwargs` say of how its conversation is rendered. */
export function templateColumns(
  row: object,
  where: string,
): Pick<ChatTemplateOptions, "tools" | "templateArguments"> {
  const given = column(row, "tools") ?? undefined;
  const tools = typeof given === "string" ? parsed(given, where) : given;
  if (tools !== undefined && !(Array.isArray(tools) && tools.every(isRecord))) {
    throw new CraftError({
      subject: `${where}, column tools`,
      value: given,
      reason: "must be a list of JSON schemas",
    });
  }
  const variables = column(row, "chat_template_kwargs") ?? undefined;
  if (variables !== undefined && !isRecord(variables)) {
    throw new CraftError({
      subject: `${where}, column chat_template_kwargs`,
      value: variables,
      reason: "must be an object of variables",
    });
  }
  return { tools, templateArguments: variables };
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CraftError({
      subject: `${where}, column tools`,
      value: text,
      reason: "is not valid JSON",
      cause,
    });
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
