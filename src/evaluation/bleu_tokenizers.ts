import { isSpace, splitWords, trimEnd, trimStart } from "./white_space.js";

/** How BLEU cuts text into words: names and results are sacreBLEU's. */
export const bleuTokenizers = ["13a", "intl", "zh", "char"] as const;
export type BleuTokenizer = (typeof bleuTokenizers)[number];

/**
 * Cuts one segment into the tokens that BLEU counts.
 * - `13a`: the WMT standard (mteval-v13a): ASCII punctuation stands alone, except between digits.
 * - `intl`: the same for all scripts (mteval-v14): every punctuation mark and symbol of Unicode stands alone, except
 *   punctuation between digits. SGML entities are left as they are.
 * - `zh`: each Chinese character stands alone, the rest as in `13a`.
 * - `char`: each character that is not a space; for scripts without spaces, when no segmenter is at hand.
 *
 * Source: `sacrebleu.tokenizers` of sacreBLEU 2.6.
 */
export function tokenizeForBleu(segment: string, tokenizer: BleuTokenizer): string[] {
  const text = trimEnd(segment);
  switch (tokenizer) {
    case "13a":
      return punctuationApart(` ${unescape(text)} `);
    case "intl":
      return replaceAll(text, internationalRules);
    case "zh":
      return punctuationApart(trimStart(text).replace(chineseCharacter, " $& "));
    case "char":
      return Array.from(text).filter((character) => !isSpace(character));
  }
}

/** mteval-v13a's clean-up of line ends and SGML entities. `&amp;` is resolved before `&lt;`, as there. */
function unescape(text: string): string {
  return text
    .replaceAll("<skipped>", "")
    .replaceAll("-\n", "")
    .replaceAll("\n", " ")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">");
}

type Rules = readonly (readonly [RegExp, string])[];

const rules: Rules = [
  [/([{-~[-` -&(-+:-@/])/gu, " $1 "],
  [/([^0-9])([.,])/gu, "$1 $2 "],
  [/([.,])([^0-9])/gu, " $1 $2"],
  [/([0-9])(-)/gu, "$1 $2 "],
];

const internationalRules: Rules = [
  [/(\P{N})(\p{P})/gu, "$1 $2 "],
  [/(\p{P})(\P{N})/gu, " $1 $2"],
  [/(\p{S})/gu, " $1 "],
];

const punctuationApart = (text: string): string[] => replaceAll(text, rules);

function replaceAll(text: string, replacements: Rules): string[] {
  let line = text;
  for (const [pattern, replacement] of replacements) line = line.replace(pattern, replacement);
  return splitWords(line);
}

// sacreBLEU's ranges as they act: it spells the two supplementary ones with four digits, so that they
// cover U+2001..U+2A6D and U+2F81..U+2FA1 in their stead.
const chineseCharacter =
  /[\u2001-\u2a6d\u2e80-\u2fdf\u2ff0-\u303f\u3100-\u312f\u31a0-\u31bf\u31c0-\u31ef\u3200-\u33ff\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef]/gu;
