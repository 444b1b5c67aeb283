import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { targetLanguages, type CompilerMessage, type Language } from "../src/cli/demo/messages.js";
import { endOfText, padding, specialTokens } from "../src/cli/demo/translate.js";
import { trainBytePairs } from "./byte_pair_trainer.js";

/** Contents of the two files, as Hugging Face's libraries read them. */
export interface TokenizerFiles {
  readonly tokenizer: object;
  readonly config: object;
}

export const languages: readonly Language[] = ["en", ...targetLanguages];

/** Trains byte-level BPE on the messages in all languages; English counts `englishWeight` times. */
export function makeDemoTokenizer(
  messages: readonly CompilerMessage[],
  size: number,
  englishWeight: number,
): TokenizerFiles {
  const texts = messages.flatMap(({ text }) =>
    languages.map((language) => [text[language], language === "en" ? englishWeight : 1] as const),
  );
  const { vocabulary, merges } = trainBytePairs(texts, specialTokens, size);
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary),
      merges,
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    eos_token: endOfText,
    pad_token: padding,
    extra_special_tokens: specialTokens.slice(2),
    add_prefix_space: false,
    clean_up_tokenization_spaces: false,
    model_max_length: 512,
  };
  return { tokenizer, config };
}

export interface Encoder {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] };
  decode(ids: number[], options?: { skip_special_tokens?: boolean }): string;
}

/** Opens a tokenizer with Hugging Face's own library. */
export function openTokenizer({ tokenizer, config }: TokenizerFiles): Encoder {
  // The library's type declarations import each other without file endings, which Node's resolution does not
  // follow, so its class has no type here.
  const Class = Tokenizer as unknown as new (tokenizer: object, config: object) => Encoder;
  return new Class(tokenizer, config);
}

export function readTokenizer(folder: string): TokenizerFiles {
  const read = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8")) as object;
  return { tokenizer: read("tokenizer.json"), config: read("tokenizer_config.json") };
}
