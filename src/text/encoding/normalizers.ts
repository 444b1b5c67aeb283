/** @file What is done to text before it is split: each step keeps track of where its result came from. */

import { toByteChars } from "./bytes.js";
import type { NormalizerConfig } from "./config.js";
import { compilePattern } from "./patterns.js";
import type { Part, Piece } from "./piece.js";

export type Normalizer = (piece: Piece) => Piece;

/** A character with the marks and the Hangul vowels and finals that may melt into it. */
const segment = /\P{M}[\p{M}\u1160-\u11ff\ud7b0-\ud7fb]*|[\p{M}\u1160-\u11ff\ud7b0-\ud7fb]+/gu;

/**
 * Applies a text-to-text function and aligns the result segment by segment. Where the function looks
 * beyond a segment, the whole piece counts as one.
 */
function bySegment(change: (text: string) => string): Normalizer {
  return (piece) => {
    const { text } = piece;
    const whole = change(text);
    if (whole === text) return piece;
    if (piece.spans === undefined) return piece.rewrite([{ text: whole, start: 0, end: text.length }]);
    const parts = Array.from(text.matchAll(segment)).flatMap((match) => {
      return align(match[0], change(match[0]), match.index);
    });
    const isSame = parts.map((part) => part.text).join("") === whole;
    return piece.rewrite(isSame ? parts : [{ text: whole, start: 0, end: text.length }]);
  };
}

/** The end that both texts share stands for itself, so that only what changed is put down to what it came from. */
function align(from: string, to: string, start: number): Part[] {
  let shared = 0;
  while (shared < Math.min(from.length, to.length) && from.at(-1 - shared) === to.at(-1 - shared)) shared++;
  if (shared === from.length || shared === to.length) shared = 0; // something is left over that came from somewhere
  const end = start + from.length;
  return [
    { text: to.slice(0, to.length - shared), start, end: end - shared },
    { text: to.slice(to.length - shared), start: end - shared, end },
  ];
}

/** Character by character, so that a final Σ becomes σ as in the reference, which looks at no neighbour. */
function lowercase(text: string): string {
  return text.replace(/[^]/gu, (char) => char.toLowerCase());
}

function strip(left: boolean, right: boolean): Normalizer {
  return (piece) => {
    const start = left ? (/^\p{White_Space}*/u.exec(piece.text)?.[0].length ?? 0) : 0;
    const rest = piece.text.slice(start);
    const end = right ? start + rest.replace(/\p{White_Space}+$/u, "").length : piece.text.length;
    return piece.slice(start, end);
  };
}

export function makeNormalizer(config: NormalizerConfig): Normalizer {
  switch (config.type) {
    case "Sequence": {
      const steps = config.normalizers.map(makeNormalizer);
      return (piece) => steps.reduce((text, step) => step(text), piece);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = config.type;
      return bySegment((text) => text.normalize(form));
    }
    case "Lowercase":
      return bySegment(lowercase);
    case "StripAccents":
      return (piece) => piece.replaceAll(/\p{M}+/gu, "");
    case "ByteLevel":
      return toByteChars;
    case "Prepend":
      return (piece) => (piece.text === "" ? piece : piece.prepend(config.prepend));
    case "Replace": {
      const pattern = compilePattern(config.pattern);
      return (piece) => piece.replaceAll(pattern, config.content);
    }
    case "Strip":
      return strip(config.strip_left, config.strip_right);
  }
}
