import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { trainBytePairs } from "../../../scripts/byte_pair_trainer.js";
import { makeDemoTokenizer, openTokenizer, readTokenizer } from "../../../scripts/demo_tokenizer.js";
import { loadCompilerMessages } from "../../../src/cli/demo/messages.js";
import { splitMessages } from "../../../src/cli/demo/split.js";
import { demoTokenizerFolder, specialTokens } from "../../../src/cli/demo/translate.js";

interface Fixture {
  ids: { text: string; ids: number[] }[];
  trained: {
    texts: string[];
    special: string[];
    size: number;
    vocabulary: Record<string, number>;
    merges: string[];
  };
}
const fixture = JSON.parse(
  readFileSync(new URL("../../fixtures/demo/tokenizer.json", import.meta.url), "utf8"),
) as Fixture;

describe("trainBytePairs", () => {
  it("finds the vocabulary and merges that tokenizers' BpeTrainer finds", () => {
    const { texts, special, size, vocabulary, merges } = fixture.trained;
    const ours = trainBytePairs(
      texts.map((text) => [text, 1]),
      special,
      size,
    );
    expect(ours.merges).toEqual(merges);
    expect(Object.fromEntries(ours.vocabulary)).toEqual(vocabulary);
    expect(merges.length).toBeGreaterThan(50);
  });

  it("counts a text as often as its weight says, and stops when nothing is left to join", () => {
    const { merges } = trainBytePairs(
      [
        ["ab", 1],
        ["cd", 3],
      ],
      [],
      1000,
    );
    expect(merges).toEqual(["c d", "a b"]);
  });
});

describe("the committed tokenizer", () => {
  const files = readTokenizer(demoTokenizerFolder);
  const encoder = openTokenizer(files);
  const { messages } = loadCompilerMessages();

  it("is what the script makes of the training messages, and of no held-out one", () => {
    const { training } = splitMessages(messages);
    expect(makeDemoTokenizer(training, 4096, 4)).toEqual(files);
  }, 60_000);

  it("gives the ids that transformers gives", () => {
    for (const { text, ids } of fixture.ids) {
      expect(encoder.encode(text).ids, text).toEqual(ids);
      if (ids.length > 0) expect(encoder.decode(ids), text).toBe(text);
    }
  });

  it("returns messages of all languages unchanged", () => {
    const texts = messages.filter((_, i) => i % 10 === 0).flatMap(({ text }) => Object.values(text));
    expect(texts.map((text) => encoder.decode(encoder.encode(text).ids))).toEqual(texts);
  });

  it("keeps the special tokens in their order and leaves them out on request", () => {
    expect(specialTokens.map((token) => encoder.encode(token).ids)).toEqual(
      specialTokens.map((_, id) => [id]),
    );
    const ids = encoder.encode("<|en|>a b.<|es|>c<|endoftext|>").ids;
    expect(encoder.decode(ids, { skip_special_tokens: true })).toBe("a b.c");
  });
});
