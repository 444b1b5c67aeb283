import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { CraftError } from "../../errors.js";

/** The languages into which the TypeScript compiler's messages are translated, named as its folders are. */
export const targetLanguages = [
  "cs",
  "de",
  "es",
  "fr",
  "it",
  "ja",
  "ko",
  "pl",
  "pt-br",
  "ru",
  "tr",
  "zh-cn",
  "zh-tw",
] as const;
export type TargetLanguage = (typeof targetLanguages)[number];
export type Language = "en" | TargetLanguage;

/** One message of the compiler in every language, tidied as {@link loadCompilerMessages} tells. */
export interface CompilerMessage {
  /** The number that the compiler prints, as in `error TS2322`. */
  readonly code: number;
  readonly text: Readonly<Record<Language, string>>;
}

export interface CompilerMessages {
  readonly messages: readonly CompilerMessage[];
  /** Codes of the messages left out because a language lacks them. */
  readonly untranslated: readonly number[];
  /** Version of the `typescript` package read. */
  readonly version: string;
}

/** @throws CraftError when the name is none of {@link targetLanguages}. */
export function parseTargetLanguage(name: string): TargetLanguage {
  const language = targetLanguages.find((known) => known === name.toLowerCase());
  if (language !== undefined) return language;
  throw new CraftError({
    subject: "--to",
    value: name,
    reason: "the compiler's messages are not translated into that",
    remedy: `Use one of ${targetLanguages.join(", ")}`,
  });
}

/**
 * Reads the compiler's messages, English and in 13 translations, from the installed `typescript` package.
 *
 * Texts are tidied in two ways: runs of white space become one space, and a quoted piece of code that a
 * translation repeats from the English message stands in the English quotes (translators use up to four
 * styles, in no order that could be learned). Placeholders such as `{0}` stay.
 *
 * @throws CraftError when the package or one of its language files cannot be read.
 */
export function loadCompilerMessages(): CompilerMessages {
  const require = createRequire(import.meta.url);
  // The whole compiler is loaded, 0.2 s, since only the running program knows its English texts for certain.
  const compiler: unknown = require("typescript");
  const folder = dirname(require.resolve("typescript"));
  const translations = new Map(
    targetLanguages.map((language) => [language, readTranslations(folder, language)]),
  );
  const messages: CompilerMessage[] = [];
  const untranslated: number[] = [];
  for (const { code, key, message } of englishDiagnostics(compiler)) {
    const english = collapse(message);
    const requote = quotesOf(english);
    const text: Partial<Record<Language, string>> = { en: english };
    for (const [language, byKey] of translations) {
      const translated = byKey[key];
      if (typeof translated === "string") text[language] = requote(collapse(translated));
    }
    if (isComplete(text)) messages.push({ code, text });
    else untranslated.push(code);
  }
  return { messages: messages.sort((a, b) => a.code - b.code), untranslated, version: versionOf(compiler) };
}

interface Diagnostic {
  readonly code: number;
  readonly key: string;
  readonly message: string;
}

/** `ts.Diagnostics` holds every message, but the package's type declarations leave it out. */
function englishDiagnostics(compiler: unknown): Diagnostic[] {
  const table = isRecord(compiler) ? compiler["Diagnostics"] : undefined;
  const found = isRecord(table) ? Object.values(table).filter(isDiagnostic) : [];
  if (found.length > 0) return found;
  throw new CraftError({
    subject: "typescript",
    value: versionOf(compiler),
    reason: "this version does not carry its messages in ts.Diagnostics",
    remedy: "Install typescript 5.9",
  });
}

function readTranslations(folder: string, language: TargetLanguage): Record<string, unknown> {
  const path = join(folder, language, "diagnosticMessages.generated.json");
  try {
    const table: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (isRecord(table)) return table;
    throw new TypeError("not a JSON object");
  } catch (cause) {
    throw new CraftError({
      subject: path,
      reason: `the compiler's messages cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy: "Install typescript 5.9 anew",
      cause,
    });
  }
}

const collapse = (text: string) => text.replace(/\s+/gu, " ").trim();

const quotes = "'\"`“”„«»‘’‚「」";
// An apostrophe, which has a letter before it, opens nothing; other quotes may stand within.
const quotedInEnglish = /(?<![\p{L}\p{N}])(['"`])((?:(?!\1).)+)\1(?![\p{L}\p{N}])/gu;

/** Makes what gives a translation the English message's quotes around the code that both quote. */
function quotesOf(english: string): (translation: string) => string {
  const quotedByCode = new Map(
    [...english.matchAll(quotedInEnglish)].map(([quoted, , code]) => [code!, quoted]),
  );
  if (quotedByCode.size === 0) return (translation) => translation;
  const literals = [...quotedByCode.keys()]
    .sort((a, b) => b.length - a.length)
    .map((code) => code.replace(/[\\^$.*+?()[\]{}|]/gu, "\\$&"));
  const pattern = new RegExp(`[${quotes}] ?(${literals.join("|")}) ?[${quotes}]`, "gu");
  return (translation) => translation.replace(pattern, (_, code: string) => quotedByCode.get(code)!);
}

function isComplete(text: Partial<Record<Language, string>>): text is Record<Language, string> {
  return text.en !== undefined && targetLanguages.every((language) => text[language] !== undefined);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDiagnostic(value: unknown): value is Diagnostic {
  return (
    isRecord(value) &&
    typeof value["code"] === "number" &&
    typeof value["key"] === "string" &&
    typeof value["message"] === "string"
  );
}

function versionOf(compiler: unknown): string {
  const version = isRecord(compiler) ? compiler["version"] : undefined;
  return typeof version === "string" ? version : "unknown";
}
