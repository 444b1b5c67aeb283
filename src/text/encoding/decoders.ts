/** @file From tokens back to text. */

import { fromByteChars, utf8 } from "./bytes.js";
import type { DecoderConfig } from "./config.js";
import { compilePattern } from "./patterns.js";

/** Changes a list of tokens; the text is what they give when joined. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

// A byte order mark is text like any other; without this option it would vanish from the start.
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const byteToken = /^<0x([0-9A-Fa-f]{2})>$/;

/** Stand-ins to bytes; a token with any other character in it is its own UTF-8. */
function byteLevel(tokens: readonly string[]): string[] {
  const bytes = tokens.flatMap((token) => {
    return fromByteChars(token) ?? Array.from(token).flatMap((char) => utf8(char.codePointAt(0) ?? 0));
  });
  return [lossy.decode(Uint8Array.from(bytes))];
}

/** A run of byte tokens as text, or one U+FFFD for each of its bytes if the run is not UTF-8. */
function byteFallback(tokens: readonly string[]): string[] {
  const result: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length > 0) result.push(decodeRun(bytes));
    bytes = [];
  };
  for (const token of tokens) {
    const digits = byteToken.exec(token)?.[1];
    if (digits !== undefined) bytes.push(parseInt(digits, 16));
    else {
      flush();
      result.push(token);
    }
  }
  flush();
  return result;
}

function decodeRun(bytes: readonly number[]): string {
  try {
    return strict.decode(Uint8Array.from(bytes));
  } catch {
    return "\ufffd".repeat(bytes.length);
  }
}

function strip(token: string, content: string, start: number, stop: number): string {
  const points = Array.from(token);
  let from = 0;
  while (from < start && points[from] === content) from++;
  let to = points.length;
  while (to > from && points.length - to < stop && points[to - 1] === content) to--;
  return points.slice(from, to).join("");
}

function metaspace(config: Extract<DecoderConfig, { type: "Metaspace" }>): Decoder {
  const { replacement } = config;
  const prepended =
    (config.prepend_scheme ?? (config.add_prefix_space === false ? "never" : "always")) !== "never";
  return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && prepended ? "" : " "));
}

/** Takes back the spaces that splitting at words and marks put in. */
export function cleanUp(text: string): string {
  const rules: readonly [string, string][] = [
    [" .", "."],
    [" ?", "?"],
    [" !", "!"],
    [" ,", ","],
    [" ' ", "'"],
    [" n't", "n't"],
    [" 'm", "'m"],
    [" 's", "'s"],
    [" 've", "'ve"],
    [" 're", "'re"],
  ];
  return rules.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

export function makeDecoder(config: DecoderConfig): Decoder {
  switch (config.type) {
    case "Sequence": {
      const steps = config.decoders.map(makeDecoder);
      return (tokens) => steps.reduce((result, step) => step(result), tokens);
    }
    case "ByteLevel":
      return byteLevel;
    case "ByteFallback":
      return byteFallback;
    case "Fuse":
      return (tokens) => [tokens.join("")];
    case "Replace": {
      const pattern = compilePattern(config.pattern);
      return (tokens) => tokens.map((token) => token.replaceAll(pattern, config.content));
    }
    case "Strip":
      return (tokens) => tokens.map((token) => strip(token, config.content, config.start, config.stop));
    case "Metaspace":
      return metaspace(config);
    case "BPEDecoder":
      return (tokens) => {
        return tokens.map((token, i) => token.replaceAll(config.suffix, i === tokens.length - 1 ? "" : " "));
      };
  }
}
