/** @file The tokenizer library, with types and with what keeps it equal to Python's tokenizers. */
import * as library from "@huggingface/tokenizers";
import { CraftError } from "../errors.js";

export type Json = Readonly<Record<string, unknown>>;

/** A token that is found in the text before anything else is done to it, as tokenizer.json writes it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** What is used of the library's tokenizer. */
export interface Engine {
  readonly normalizer: ((text: string) => string) | null;
  readonly decoder: { decode(tokens: readonly string[]): string } | null;
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[]; tokens: string[] };
  decode(ids: readonly number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

// The library's declarations import each other without file endings, which Node's resolution does not follow, so
// that its class has no type here.
const { Tokenizer: EngineClass } = library as unknown as {
  Tokenizer: new (tokenizer: object, config: object) => Engine;
};

/**
 * Opens a tokenizer.
 *
 * @param json - the content of tokenizer.json, its added tokens complete
 * @throws {@link CraftError} naming the tokenizer if the library does not know one of its parts.
 */
export function openEngine(json: Json, eosToken: string | undefined, name: string): Engine {
  const unknown = part(json["model"])["unk_token"];
  const parts = {
    normalizer: null,
    decoder: null,
    ...json,
    pre_tokenizer: mendSplits(json["pre_tokenizer"] ?? null),
  };
  try {
    return new EngineClass(parts, {
      clean_up_tokenization_spaces: false,
      eos_token: eosToken,
      unk_token: typeof unknown === "string" ? unknown : undefined,
    });
  } catch (cause) {
    throw new CraftError({
      subject: `${name}, tokenizer.json`,
      reason: `not a tokenizer that can be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy: "Save it anew with save_pretrained of a current transformers",
      cause,
    });
  }
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A part of tokenizer.json; empty where it has none. */
export function part(value: unknown): Json {
  return isObject(value) ? value : {};
}

/** Whether a part of tokenizer.json, or one in its sequence, has the type. */
export function hasType(value: unknown, type: string): boolean {
  const { type: own, decoders, pretokenizers } = part(value) as { [key: string]: unknown };
  const inner = [decoders, pretokenizers].flatMap((list): unknown[] => (Array.isArray(list) ? list : []));
  return own === type || inner.some((item) => hasType(item, type));
}

/**
 * The library splits by every pattern as if each match stood alone. Patterns that match the wanted pieces themselves
 * make it merge matches with what stands before or after them.
 */
function mendSplits(preTokenizer: unknown): unknown {
  if (!isObject(preTokenizer)) return preTokenizer;
  const { type, behavior, invert, pattern, pretokenizers, replacement = "▁", split } = preTokenizer;
  if (type === "Sequence" && Array.isArray(pretokenizers)) {
    return { ...preTokenizer, pretokenizers: pretokenizers.map(mendSplits) };
  }
  if (type === "Whitespace") {
    // The library knows only ASCII words here.
    return {
      ...isolate(String.raw`[\w\u200c\u200d]+|[^\w\u200c\u200d\s]+`),
      behavior: "Removed",
      invert: true,
    };
  }
  if (type === "Metaspace" && split !== false && typeof replacement === "string") {
    const words = isolate(piecesWith("MergedWithNext", escape(replacement)));
    return { type: "Sequence", pretokenizers: [preTokenizer, words] };
  }
  if (type !== "Split" || invert === true || typeof behavior !== "string" || !isObject(pattern)) {
    return preTokenizer;
  }
  const { Regex: expression, String: text } = pattern;
  const source = typeof text === "string" ? escape(text) : expression;
  const isMerging = ["MergedWithNext", "MergedWithPrevious", "Contiguous"].includes(behavior);
  return isMerging && typeof source === "string" ? isolate(piecesWith(behavior, source)) : preTokenizer;
}

function piecesWith(behavior: string, delimiter: string): string {
  const match = `(?:${delimiter})`;
  const between = `(?:(?!${match})[\\s\\S])`;
  if (behavior === "MergedWithNext") return `${match}${between}*|${between}+`;
  if (behavior === "MergedWithPrevious") return `${between}+${match}?|${match}`;
  return `${match}+`;
}

function isolate(expression: string): Json {
  return { type: "Split", pattern: { Regex: expression }, behavior: "Isolated", invert: false };
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
