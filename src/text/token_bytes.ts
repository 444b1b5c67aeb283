/** @file Bytes behind the tokens of a vocabulary. */

const utf8 = new TextEncoder();

/** Byte-level vocabularies write each byte as a character: printable ones as themselves, the others from U+0100 on. */
const byteOfChar: ReadonlyMap<string, number> = new Map(
  ((): [string, number][] => {
    let next = 0x100;
    return Array.from({ length: 256 }, (_, byte) => {
      const isPrintable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
      return [String.fromCodePoint(isPrintable ? byte : next++), byte];
    });
  })(),
);

/** The bytes of text that a token stands for. */
export function bytesOfToken(token: string, isByteLevel: boolean): Uint8Array {
  if (isByteLevel) {
    const bytes = [...token].map((char) => byteOfChar.get(char));
    return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : utf8.encode(token);
  }
  const byte = fallbackByte(token);
  return byte === undefined ? utf8.encode(token) : Uint8Array.of(byte);
}

/**
 * Of bytes that are no UTF-8, tokenizers makes a U+FFFD for each byte of the run they stand in; the library keeps what it
 * can read of the run.
 */
export function mendByteRuns(tokens: readonly string[]): string[] {
  const mended = [...tokens];
  for (let start = 0; start < tokens.length; start++) {
    const run: number[] = [];
    for (
      let byte = fallbackByte(tokens[start]);
      byte !== undefined;
      byte = fallbackByte(tokens[start + run.length])
    ) {
      run.push(byte);
    }
    if (run.length === 0) continue;
    if (!isUtf8(Uint8Array.from(run))) mended.fill("\ufffd", start, start + run.length);
    start += run.length;
  }
  return mended;
}

function fallbackByte(token: string | undefined): number | undefined {
  const hex = token === undefined ? null : /^<0x([0-9A-F]{2})>$/.exec(token);
  return hex === null ? undefined : parseInt(hex[1]!, 16);
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
