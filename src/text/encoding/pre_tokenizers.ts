/** @file Cutting text into the words that a model may not merge across. */

import { CraftError } from "../../errors.js";
import { toByteChars } from "./bytes.js";
import type { PreTokenizerConfig } from "./config.js";
import { compilePattern } from "./patterns.js";
import type { Piece } from "./piece.js";
import { cut } from "./splitting.js";

/** Cuts one piece into several, in order. */
export type PreTokenizer = (piece: Piece) => Piece[];

/** The words of GPT-2. White space is Unicode's, which JavaScript's `\s` is not quite. */
const gpt2Words =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const whiteSpace = /\p{White_Space}+/gu;
const punctuation = /[\p{P}!-/:-@[-`{-~]/gu;
const wordOrMarks =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;

function metaspace(config: Extract<PreTokenizerConfig, { type: "Metaspace" }>): PreTokenizer {
  const { replacement, split } = config;
  const scheme = config.prepend_scheme ?? (config.add_prefix_space === false ? "never" : "always");
  const mark = compilePattern({ kind: "string", source: replacement });
  return (piece) => {
    let text = piece.replaceAll(/ /g, replacement);
    const prepends = scheme === "always" || (scheme === "first" && piece.atStart);
    if (prepends && !text.text.startsWith(replacement)) text = text.prepend(replacement);
    return split ? cut(text, mark, "mergedwithnext") : [text];
  };
}

export function makePreTokenizer(config: PreTokenizerConfig): PreTokenizer {
  switch (config.type) {
    case "Sequence": {
      const steps = config.pretokenizers.map(makePreTokenizer);
      return (piece) => steps.reduce((pieces, step) => pieces.flatMap(step), [piece]);
    }
    case "ByteLevel": {
      const { add_prefix_space: prefix, use_regex: splits } = config;
      return (piece) => {
        const text = prefix && !piece.text.startsWith(" ") ? piece.prepend(" ") : piece;
        return (splits ? cut(text, gpt2Words, "isolated") : [text]).map(toByteChars);
      };
    }
    case "Split": {
      const pattern = compilePattern(config.pattern);
      return (piece) => cut(piece, pattern, config.behavior, config.invert);
    }
    case "Metaspace":
      return metaspace(config);
    case "Digits":
      return (piece) => cut(piece, /\p{N}/gu, config.individual_digits ? "isolated" : "contiguous");
    case "Punctuation":
      return (piece) => cut(piece, punctuation, config.behavior);
    case "CharDelimiterSplit": {
      if (Array.from(config.delimiter).length !== 1) {
        throw new CraftError({
          subject: "the delimiter of CharDelimiterSplit in tokenizer.json",
          value: config.delimiter,
          reason: "it must be one character",
        });
      }
      const delimiter = compilePattern({ kind: "string", source: config.delimiter });
      return (piece) => cut(piece, delimiter, "removed");
    }
    case "Whitespace":
      return (piece) => cut(piece, wordOrMarks, "removed", true);
    case "WhitespaceSplit":
      return (piece) => cut(piece, whiteSpace, "removed");
  }
}
