import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { trainBytePairs } from "../../../scripts/byte_pair_trainer.js";

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
