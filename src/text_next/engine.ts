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

/** Models of which the library's ids are those of Python. */
const models = ["BPE", "Unigram", "WordPiece"];

/**
 * Opens a tokenizer.
 *
 * @param tokenizer - the content of tokenizer.json, its added tokens complete
 * @throws {@link CraftError} naming `file` if the library refuses it or is known to get its ids wrong.
 */
export function openEngine(tokenizer: Json, eosToken: string | undefined, file: string): Engine {
  const model = part(tokenizer["model"]);
  if (typeof model["type"] === "string" && !models.includes(model["type"])) {
    throw new CraftError({
      subject: file,
      value: model["type"],
      reason: "models of this type are not supported",
      remedy: `Use a tokenizer with a model of type ${models.join(", ")}`,
    });
  }
  try {
    return new EngineClass(
      { ...tokenizer, pre_tokenizer: mendSplits(tokenizer["pre_tokenizer"]) },
      { clean_up_tokenization_spaces: false, eos_token: eosToken },
    );
  } catch (error) {
    throw new CraftError({
      subject: file,
      reason: `not a tokenizer that can be read: ${error instanceof Error ? error.message : String(error)}`,
      remedy: "Save it anew with save_pretrained of a current transformers",
      cause: error,
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
