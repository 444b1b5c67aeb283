/**
 * Trains the demo's tokenizer on the training side of the compiler messages, in all languages, and writes
 * `tokenizer.json` and `tokenizer_config.json` as Hugging Face's libraries read them. The same installed
 * `typescript` gives the same files.
 *
 *   npx tsx scripts/train_tokenizer.ts [--vocabulary 4096] [--english-weight 4] [--out assets/demo]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import { loadCompilerMessages, targetLanguages, type Language } from "../src/cli/demo/messages.js";
import { splitMessages } from "../src/cli/demo/split.js";
import {
  contrastivePairs,
  demoTokenizerFolder,
  endOfText,
  padding,
  specialTokens,
  translations,
} from "../src/cli/demo/translate.js";
import { trainBytePairs } from "./byte_pair_trainer.js";

const { values: options } = parseArgs({
  options: {
    vocabulary: { type: "string", default: "4096" },
    // English stands in every sequence, each other language in one of fourteen.
    "english-weight": { type: "string", default: "4" },
    out: { type: "string", default: demoTokenizerFolder },
  },
});
const languages: readonly Language[] = ["en", ...targetLanguages];
const { messages, version } = loadCompilerMessages();
const { training, heldOut } = splitMessages(messages);
const englishWeight = Number(options["english-weight"]);
const texts = training.flatMap(({ text }) =>
  languages.map((language) => [text[language], language === "en" ? englishWeight : 1] as const),
);
const { vocabulary, merges } = trainBytePairs(texts, specialTokens, Number(options.vocabulary));

const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: specialTokens.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
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
mkdirSync(options.out, { recursive: true });
writeFileSync(join(options.out, "tokenizer.json"), `${JSON.stringify(tokenizer)}\n`);
writeFileSync(join(options.out, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);

const encoder = new Tokenizer(tokenizer, config);
const lengths = (rows: readonly string[]) =>
  rows.map((row) => encoder.encode(row, { add_special_tokens: false }).ids.length).sort((a, b) => a - b);
const tell = (name: string, rows: readonly string[]) => {
  const sorted = lengths(rows);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const mean = sorted.reduce((sum, length) => sum + length, 0) / sorted.length;
  console.log(
    `${name}: ${rows.length} rows, mean ${mean.toFixed(1)}, median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)}`,
  );
};
console.log(
  `typescript ${version}: ${training.length} training messages, ${heldOut.length} held out, ${vocabulary.size} tokens`,
);
const wholeRow = ({ prompt, completion }: { prompt: string; completion: string }) => prompt + completion;
tell("en → es, training", translations(training, "es").map(wholeRow));
tell("en → es, held out", translations(heldOut, "es").map(wholeRow));
for (const language of languages)
  tell(
    `${language} alone, held out`,
    heldOut.map(({ text }) => text[language]),
  );
const { pairs, identical } = contrastivePairs(training);
tell(
  "contrastive texts other than English",
  pairs.map(({ positive }) => positive),
);
console.log(
  `${pairs.length} contrastive pairs; ${identical} left out, where a translation equals the English message`,
);
