/**
 * Trains the demo's tokenizer on the training side of the compiler messages, in all languages, and writes
 * `tokenizer.json` and `tokenizer_config.json`. The same installed `typescript` gives the same files.
 *
 *   npx tsx scripts/train_tokenizer.ts [--vocabulary 4096] [--english-weight 4] [--out assets/demo]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadCompilerMessages } from "../src/cli/demo/messages.js";
import { splitMessages } from "../src/cli/demo/split.js";
import { contrastivePairs, demoTokenizerFolder, translations } from "../src/cli/demo/translate.js";
import { formatTable } from "../src/report/index.js";
import { languages, makeDemoTokenizer, openTokenizer } from "./demo_tokenizer.js";

const { values: options } = parseArgs({
  options: {
    vocabulary: { type: "string", default: "4096" },
    // English stands in every sequence, each other language in one of thirteen.
    "english-weight": { type: "string", default: "4" },
    out: { type: "string", default: demoTokenizerFolder },
  },
});
const { messages, version } = loadCompilerMessages();
const { training, heldOut, groups, largestGroup } = splitMessages(messages);
const files = makeDemoTokenizer(training, Number(options.vocabulary), Number(options["english-weight"]));
mkdirSync(options.out, { recursive: true });
writeFileSync(join(options.out, "tokenizer.json"), `${JSON.stringify(files.tokenizer)}\n`);
writeFileSync(join(options.out, "tokenizer_config.json"), `${JSON.stringify(files.config, null, 2)}\n`);

const encoder = openTokenizer(files);
function lengths(texts: string, rows: readonly string[]) {
  const sorted = rows.map((row) => encoder.encode(row).ids.length).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const mean = sorted.reduce((sum, length) => sum + length, 0) / sorted.length;
  return { texts, rows: rows.length, mean, median: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
const { pairs, identical } = contrastivePairs(training);
const rows = [
  lengths(
    "prompt and completion, en → es, training",
    translations(training, "es").map((row) => row.prompt + row.completion),
  ),
  lengths(
    "prompt and completion, en → es, held out",
    translations(heldOut, "es").map((row) => row.prompt + row.completion),
  ),
  lengths(
    "completion, es, training",
    translations(training, "es").map(({ completion }) => completion),
  ),
  lengths(
    "contrastive anchors",
    pairs.map(({ anchor }) => anchor),
  ),
  lengths(
    "contrastive positives",
    pairs.map(({ positive }) => positive),
  ),
  ...languages.map((language) =>
    lengths(
      `messages held out, ${language}`,
      heldOut.map(({ text }) => text[language]),
    ),
  ),
];
console.log(
  `typescript ${version}: ${training.length} messages for training, ${heldOut.length} held out; ` +
    `${groups} groups of near-duplicates, the largest of ${largestGroup}`,
);
console.log(`${identical} contrastive pairs left out, since their translation equals the English message\n`);
console.log(formatTable({ rows, digits: { mean: 1 } }));
