import { fileURLToPath } from "node:url";
import type { BleuTokenizer } from "../../evaluation/index.js";
import { targetLanguages, type CompilerMessage, type Language, type TargetLanguage } from "./messages.js";

/** The folder with the tokenizer that `scripts/train_tokenizer.ts` makes for this task. */
export const demoTokenizerFolder = fileURLToPath(new URL("../../../assets/demo", import.meta.url));

/** Ends every text, translation or not. */
export const endOfText = "<|endoftext|>";
export const padding = "<|pad|>";
/** Stands before a text and says in which language it is. */
export const languageTag = (language: Language): string => `<|${language}|>`;
/** The special tokens in the order of their ids, from 0. */
export const specialTokens: readonly string[] = [
  endOfText,
  padding,
  ...(["en", ...targetLanguages] as const).map(languageTag),
];

/** A row of the translation task. The loss counts the completion only. */
export interface Translation {
  /** The compiler's number of the message. */
  readonly code: number;
  /** `<|en|>` message `<|es|>`, without spaces between. */
  readonly prompt: string;
  /** Translation `<|endoftext|>`. */
  readonly completion: string;
  readonly english: string;
  readonly target: string;
}

/** The messages as rows of the task "translate from English". */
export function translations(messages: readonly CompilerMessage[], to: TargetLanguage): Translation[] {
  return messages.map(({ code, text }) => ({
    code,
    prompt: `${languageTag("en")}${text.en}${languageTag(to)}`,
    completion: `${text[to]}${endOfText}`,
    english: text.en,
    target: text[to],
  }));
}

/** One message in two languages, each `tag` message `<|endoftext|>`. */
export interface ContrastivePair {
  readonly code: number;
  /** Of `positive`; `anchor` is English. */
  readonly language: TargetLanguage;
  readonly anchor: string;
  readonly positive: string;
}

/** The text whose representation stands for a message. */
export function taggedText(message: CompilerMessage, language: Language): string {
  return `${languageTag(language)}${message.text[language]}${endOfText}`;
}

/**
 * Pairs each message in English with itself in each of the languages, message by message. A message that a
 * language leaves as it is in English makes no pair; `identical` tells how many.
 */
export function contrastivePairs(
  messages: readonly CompilerMessage[],
  languages: readonly TargetLanguage[] = targetLanguages,
): { pairs: ContrastivePair[]; identical: number } {
  const pairs: ContrastivePair[] = [];
  let identical = 0;
  for (const message of messages) {
    for (const language of languages) {
      if (message.text[language] === message.text.en) identical++;
      else {
        const [anchor, positive] = [taggedText(message, "en"), taggedText(message, language)];
        pairs.push({ code: message.code, language, anchor, positive });
      }
    }
  }
  return { pairs, identical };
}

/** Parts rows into those of at most `limit` tokens and the others, so that the others can be counted and told. */
export function partByLength<Row>(
  rows: readonly Row[],
  tokens: (row: Row) => number,
  limit: number,
): { fitting: Row[]; tooLong: Row[] } {
  const fitting: Row[] = [];
  const tooLong: Row[] = [];
  for (const row of rows) (tokens(row) <= limit ? fitting : tooLong).push(row);
  return { fitting, tooLong };
}

/** How BLEU should cut this language: by its characters where words have no spaces between. */
export function bleuTokenizerFor(language: TargetLanguage): BleuTokenizer {
  if (language === "zh-cn" || language === "zh-tw") return "zh";
  return language === "ja" ? "char" : "13a";
}
