/** @file Tokenizers of real models against Python's tokenizers (parity/real_tokenizers.py). */
import { describe, expect, it } from "vitest";
import type { ChatMessage, Tokenizer } from "../../../src/text/index.js";
import { fixture } from "./fixtures.js";
import { openReal, realNames, type RealName } from "./real.js";

interface Real {
  vocabSize: number;
  /** The special tokens that stand before any text. */
  before: number[];
  /** Ids and offsets of each text, without special tokens. */
  encoded: [number[], [number, number][]][];
  random: number[][];
  /** With special tokens and without, of the texts and of the random ids. */
  decoded: [string, string][];
}
interface Configured {
  tokens: (string | null)[];
  limit: number | null;
  chats: Record<string, number[]>;
}
const { texts, tokenizers, configured } = fixture<{
  texts: string[];
  tokenizers: Record<RealName, Real>;
  configured: Record<"llama3_1" | "qwen3" | "gemma3", Configured>;
}>("real_tokenizers.json");
const { chats } = fixture<{ chats: Record<string, ChatMessage[]> }>("chat.json");

describe.each(realNames)("%s", (name) => {
  const python = tokenizers[name];
  let opened: Tokenizer | undefined;
  const tokenizer = () => (opened ??= openReal(name));

  it("has Python's vocabulary size", () => {
    expect(tokenizer().vocabSize).toBe(python.vocabSize);
  });

  it("gives Python's ids, with special tokens and without", () => {
    texts.forEach((text, index) => {
      const [ids] = python.encoded[index]!;
      expect.soft(tokenizer().encode(text, { addSpecialTokens: false }), text).toEqual(ids);
      expect.soft(tokenizer().encode(text), text).toEqual([...python.before, ...ids]);
    });
  });

  it("gives Python's offsets", () => {
    texts.forEach((text, index) => {
      const { offsets } = tokenizer().encodeWithOffsets(text, { addSpecialTokens: false });
      const wanted = python.encoded[index]![1];
      if (name !== "qwen3") expect.soft(offsets, text).toEqual(wanted);
      else {
        // Where characters are composed, Python gives the place of the first one, we that of them all.
        const covers = offsets.every(([start, end], i) => start <= wanted[i]![0] && wanted[i]![1] <= end);
        expect.soft(covers && offsets.length === wanted.length, text).toBe(true);
      }
    });
  });

  it("gives Python's text", () => {
    const all = [...python.encoded.map(([ids]) => [...python.before, ...ids]), ...python.random];
    all.forEach((ids, index) => {
      const [whole, bare] = python.decoded[index]!;
      expect.soft(tokenizer().decode(ids), ids.join()).toBe(whole);
      expect.soft(tokenizer().decode(ids, { skipSpecialTokens: true }), ids.join()).toBe(bare);
    });
  });
});

it("takes an unpaired surrogate for U+FFFD, as it is written in UTF-8; Python refuses it", () => {
  const tokenizer = openReal("llama2");
  const lone = ["a\ud800b", "\udc00", "x\ud83d", "\ude00\ud83d y"];
  for (const text of lone) {
    const known = text.replace(/\p{Surrogate}/gu, "\ufffd");
    expect(tokenizer.encode(text)).toEqual(tokenizer.encode(known));
    expect(tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: true })).toBe(known);
  }
});

it.each(["llama3_1", "qwen3", "gemma3"] as const)(
  "%s with its configuration is as in transformers",
  (name) => {
    const tokenizer = openReal(name, { configured: true });
    const python = configured[name];
    const tokens = [tokenizer.bosToken, tokenizer.eosToken, tokenizer.padToken];
    expect(tokens.map((token) => token ?? null)).toEqual(python.tokens);
    expect(tokenizer.modelMaxLength).toBe(python.limit ?? Infinity);
    for (const [title, ids] of Object.entries(python.chats))
      expect(tokenizer.applyChatTemplate(chats[title]!, { addGenerationPrompt: true }), title).toEqual(ids);
  },
);
