/** @file Where in the text each token stands. The tokenizer library does not say, so tokens are laid along the text. */
import { CraftError } from "../errors.js";

/** Start and end, exclusive, in UTF-16 units of the text. */
export type Offset = readonly [start: number, end: number];

type Sides = readonly [left: boolean, right: boolean];

/** A token, as far as laying it along the text needs. */
export type Piece =
  /**
   * Found literally in the text; `strips` says on which sides it takes white space along. The vocabulary may have made
   * it too, of what normalisation made of the text: then it stands for `bytes`.
   */
  | { readonly kind: "added"; readonly content: string; readonly strips: Sides; readonly bytes: Uint8Array }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** Stands for text that the vocabulary lacks, unless the text has it literally. */
  | { readonly kind: "unknown"; readonly content: string };

/** The text as the model sees it, byte by byte, with the place of the character each byte belongs to. */
interface Track {
  readonly bytes: readonly number[];
  readonly places: readonly Offset[];
}

const utf8 = new TextEncoder();
const space = 0x20;

/** What normalisation may compose: a character with its marks, and Korean letters. (Intl.Segmenter takes quadratic time.) */
const composable = /[\u1100-\u115f]+[\u1160-\u11a7]*[\u11a8-\u11ff]*|\P{M}[\p{M}\uff9e\uff9f]*|\p{M}+/gsu;

/**
 * The place of each token. All tokens of a character that is split over several have the place of that character.
 * A token's leading space belongs to it; a space that the tokenizer put before the text has no place.
 *
 * @throws {@link CraftError} if a token is nowhere in the text, so that nothing wrong is returned.
 */
export function alignTokens(
  text: string,
  pieces: readonly Piece[],
  normalise: (text: string) => string,
  prepends: boolean,
): Offset[] {
  const { bytes, places } = track(text, normalise);
  const offsets: Offset[] = [];
  let at = 0;
  let unknowns: number[] = [];
  let isFirst = true;
  const place = () => places[at]?.[0] ?? text.length;

  /** Gives what lies before byte `end` to the unknown tokens: a character each, the rest to the last. */
  const settle = (end: number) => {
    unknowns.forEach((index, i) => {
      const start = place();
      at = i === unknowns.length - 1 ? end : Math.min(end, nextCharacter(bytes, at));
      offsets[index] = [start, at > 0 ? Math.max(start, places[at - 1]![1]) : start];
    });
    unknowns = [];
  };

  pieces.forEach((piece, index) => {
    if (piece.kind === "unknown" && !text.startsWith(piece.content, place())) {
      unknowns.push(index);
      return;
    }
    if (piece.kind === "unknown") {
      const bytes = utf8.encode(normalise(piece.content));
      piece = { kind: "added", content: piece.content, strips: [false, false], bytes };
    }
    let wanted = piece.kind === "bytes" ? piece.bytes : utf8.encode(normalise(piece.content));
    if (piece.kind === "added") {
      const found = text.indexOf(piece.content, place());
      const isMade = found !== place() && unknowns.length === 0 && matches(bytes, piece.bytes, at);
      if (found >= 0 && !isMade) {
        settle(byteAt(places, found, at));
        const [start, end] = widen(
          text,
          found,
          found + piece.content.length,
          piece.strips,
          offsets[index - 1]?.[1],
        );
        at = byteAt(places, end, at);
        offsets[index] = [start, end];
        isFirst = true;
        return;
      }
    }
    const from = unknowns.length > 0 ? nextCharacter(bytes, at) : at;
    if (isFirst && prepends && wanted[0] === space) wanted = wanted.subarray(1);
    isFirst = false;
    let start = matches(bytes, wanted, from) ? from : -1;
    const bare = wanted.subarray(1);
    const mayDrop = wanted[0] === space && (bare.length > 0 || unknowns.length === 0);
    if (start < 0 && mayDrop && matches(bytes, bare, from)) {
      // A space that the tokenizer put before a word.
      [start, wanted] = [from, bare];
    }
    if (start < 0) start = search(bytes, wanted, from);
    if (start < 0) throw notFound(piece, index);
    settle(start);
    at = start + wanted.length;
    // A token that is nothing but such a space has the place of the character after it.
    const last = places[wanted.length === 0 ? at : at - 1]?.[1] ?? text.length;
    offsets[index] = [places[start]?.[0] ?? text.length, last];
  });
  settle(bytes.length);
  return offsets;
}

/** Normalisation is followed character by character; where it changes how many there are, by what it may compose. */
function track(text: string, normalise: (text: string) => string): Track {
  const bytes: number[] = [];
  const places: Offset[] = [];
  const add = (part: string, start: number, end: number) => {
    for (const byte of utf8.encode(part)) {
      bytes.push(byte);
      places.push([start, end]);
    }
  };
  for (const { 0: segment, index } of text.matchAll(composable)) {
    const source = [...segment];
    const normal = normalise(segment);
    const result = normal === "" && segment.trim() === "" ? source : [...normal];
    if (source.length !== result.length) add(result.join(""), index, index + segment.length);
    else {
      let start = index;
      source.forEach((char, i) => add(result[i]!, start, (start += char.length)));
    }
  }
  return { bytes, places };
}

function matches(bytes: readonly number[], wanted: Uint8Array, at: number): boolean {
  return at + wanted.length <= bytes.length && wanted.every((byte, i) => bytes[at + i] === byte);
}

function search(bytes: readonly number[], wanted: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) if (matches(bytes, wanted, at)) return at;
  return wanted[0] === space && wanted.length > 1 ? search(bytes, wanted.subarray(1), from) : -1;
}

/** The first byte of the next character. */
function nextCharacter(bytes: readonly number[], at: number): number {
  let next = at + 1;
  while (next < bytes.length && bytes[next]! >= 0x80 && bytes[next]! < 0xc0) next++;
  return next;
}

/** The first byte at or after a place in the text. */
function byteAt(places: readonly Offset[], place: number, from: number): number {
  let at = from;
  while (at < places.length && places[at]![0] < place) at++;
  return at;
}

function widen(text: string, start: number, end: number, [left, right]: Sides, least = 0): Offset {
  const before = text.slice(least, start);
  const after = text.slice(end);
  return [
    left ? start - (before.length - before.trimEnd().length) : start,
    right ? end + (after.length - after.trimStart().length) : end,
  ];
}

function notFound(piece: Piece, index: number): CraftError {
  const value = piece.kind === "bytes" ? new TextDecoder().decode(piece.bytes) : "";
  return new CraftError({
    subject: `token ${index}`,
    value,
    reason:
      "its place in the text cannot be found, as the tokenizer changes the text in a way that is not followed",
  });
}
