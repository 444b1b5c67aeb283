/** @file How a message is put to a model: with the small model's language tags, or in words for any other model. */
import type { CompilerMessage, Language, TargetLanguage } from "./messages.js";
import { languageTag, taggedText, translations } from "./translate.js";

/** Texts for one model. The tokenizer's end token is added to completions by the trainer. */
export interface TaskFormat {
  prompt(message: CompilerMessage): string;
  completion(message: CompilerMessage): string;
  /** The text whose representation stands for a message. */
  text(message: CompilerMessage, language: Language): string;
  /** Whether texts bring their own special tokens. */
  readonly tagged: boolean;
}

/** `<|en|>message<|es|>` and `translation<|endoftext|>`. */
export function taggedFormat(to: TargetLanguage): TaskFormat {
  return {
    prompt: (message) => `${languageTag("en")}${message.text.en}${languageTag(to)}`,
    completion: (message) => translations([message], to)[0]!.completion,
    text: taggedText,
    tagged: true,
  };
}

/** `English: message`, a line break and `Spanish:`, for models that know no tags. */
export function plainFormat(to: TargetLanguage): TaskFormat {
  const name = new Intl.DisplayNames("en", { type: "language" }).of(to) ?? to;
  return {
    prompt: (message) => `English: ${message.text.en}\n${name}:`,
    completion: (message) => ` ${message.text[to]}`,
    text: (message, language) => message.text[language],
    tagged: false,
  };
}
