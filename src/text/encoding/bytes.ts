/** @file The printable stand-ins for bytes that byte-level tokenizers work with: `Ġ` for a space, and so on. */

import { Piece } from "./piece.js";

const charOfByte: readonly string[] = makeTable();
const byteOfChar: ReadonlyMap<string, number> = new Map(charOfByte.map((char, byte) => [char, byte]));

/** Printable Latin-1 characters stand for themselves, the other bytes for U+0100 onwards. */
function makeTable(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** The UTF-8 bytes of a code point; a lone surrogate becomes U+FFFD, as it has no UTF-8. */
export function utf8(point: number): readonly number[] {
  if (point < 0x80) return [point];
  if (point < 0x800) return [0xc0 | (point >> 6), 0x80 | (point & 0x3f)];
  if (point >= 0xd800 && point < 0xe000) return [0xef, 0xbf, 0xbd];
  if (point < 0x10000) return [0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)];
  return [
    0xf0 | (point >> 18),
    0x80 | ((point >> 12) & 0x3f),
    0x80 | ((point >> 6) & 0x3f),
    0x80 | (point & 0x3f),
  ];
}

/** Every byte of the text as its stand-in; each stands where its whole character does. */
export function toByteChars(piece: Piece): Piece {
  const { text, spans } = piece;
  if (/^[!-~]*$/.test(text)) return piece;
  let chars = "";
  const starts: number[] = [];
  const ends: number[] = [];
  for (let i = 0; i < text.length;) {
    const point = text.codePointAt(i) ?? 0;
    const width = point > 0xffff ? 2 : 1;
    for (const byte of utf8(point)) {
      chars += charOfByte[byte] ?? "";
      if (spans === undefined) continue;
      starts.push(spans.starts[i] ?? 0);
      ends.push(spans.ends[i + width - 1] ?? 0);
    }
    i += width;
  }
  const tracked = spans && { starts: Int32Array.from(starts), ends: Int32Array.from(ends) };
  return new Piece(chars, tracked, piece.atStart);
}

/** The bytes that stand-ins stand for; undefined if one of the characters is none. */
export function fromByteChars(token: string): readonly number[] | undefined {
  const bytes: number[] = [];
  for (const char of token) {
    const byte = byteOfChar.get(char);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return bytes;
}
