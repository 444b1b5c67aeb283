/** How BLEU cuts text into words: names and results are sacreBLEU's. */
export const bleuTokenizers = ["13a", "zh", "char"] as const;
export type BleuTokenizer = (typeof bleuTokenizers)[number];

/**
 * Cuts one segment into the tokens that BLEU counts.
 * - `13a`: the WMT standard (mteval-v13a): ASCII punctuation stands alone, except between digits.
 * - `zh`: each Chinese character stands alone, the rest as in `13a`.
 * - `char`: each character that is not a space; for scripts without spaces, when no segmenter is at hand.
 *
 * Source: `sacrebleu.tokenizers` of sacreBLEU 2.6.
 */
export function tokenizeForBleu(segment: string, tokenizer: BleuTokenizer): string[] {
  const text = segment.replace(trailingSpace, "");
  switch (tokenizer) {
    case "13a":
      return punctuationApart(` ${unescape(text)} `);
    case "zh":
      return punctuationApart(text.replace(leadingSpace, "").replace(chineseCharacter, " $& "));
    case "char":
      return Array.from(text).filter((character) => !spaceOnly.test(character));
  }
}

// The characters for which Python's str.isspace() holds; JavaScript's \s differs at U+001C..1F, U+0085 and U+FEFF.
const space = "\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const spaces = new RegExp(`[${space}]+`, "u");
const spaceOnly = new RegExp(`^[${space}]$`, "u");
const trailingSpace = new RegExp(`[${space}]+$`, "u");
const leadingSpace = new RegExp(`^[${space}]+`, "u");

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

const rules: readonly (readonly [RegExp, string])[] = [
  [/([{-~[-` -&(-+:-@/])/gu, " $1 "],
  [/([^0-9])([.,])/gu, "$1 $2 "],
  [/([.,])([^0-9])/gu, " $1 $2"],
  [/([0-9])(-)/gu, "$1 $2 "],
];

function punctuationApart(text: string): string[] {
  let line = text;
  for (const [pattern, replacement] of rules) line = line.replace(pattern, replacement);
  return line.split(spaces).filter((token) => token !== "");
}

// sacreBLEU's ranges as they act: it spells the two supplementary ones with four digits, so that they
// cover U+2001..U+2A6D and U+2F81..U+2FA1 in their stead.
const chineseCharacter =
  /[\u2001-\u2a6d\u2e80-\u2fdf\u2ff0-\u303f\u3100-\u312f\u31a0-\u31bf\u31c0-\u31ef\u3200-\u33ff\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef]/gu;
