import { describe, expect, it } from "vitest";
import { loadCompilerMessages, targetLanguages, type Language } from "../../../src/cli/demo/messages.js";
import { splitMessages } from "../../../src/cli/demo/split.js";
import {
  bleuTokenizerFor,
  contrastivePairs,
  partByLength,
  specialTokens,
  translations,
} from "../../../src/cli/demo/translate.js";

const { messages } = loadCompilerMessages();
const split = splitMessages(messages);
const languages: Language[] = ["en", ...targetLanguages];

/** 1 - Levenshtein distance / length of the longer: another measure than the one that the split uses. */
function editSimilarity(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return 1 - row[b.length]! / Math.max(a.length, b.length);
}

/** Letters that the two have in common, with repeats: no edit distance leaves more of them in place. */
function sharedLetters(a: string, b: string): number {
  const counts = new Map<string, number>();
  for (const letter of a) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  let shared = 0;
  for (const letter of b) {
    const left = counts.get(letter) ?? 0;
    if (left > 0) shared++;
    counts.set(letter, left - 1);
  }
  return shared;
}

describe("splitMessages", () => {
  it("puts each message on one side, 256 held out", () => {
    expect(split.heldOut).toHaveLength(256);
    expect(split.training).toHaveLength(2118 - 256);
    const codes = new Set([...split.training, ...split.heldOut].map(({ code }) => code));
    expect(codes.size).toBe(2118);
  });

  it("shares no text between the sides in any language, whatever the quoted code", () => {
    const bare = (text: string) => text.toLowerCase().replace(/'[^']*'|\{\d\}/g, "_");
    for (const language of languages) {
      const seen = new Set(split.training.map(({ text }) => bare(text[language])));
      expect(split.heldOut.filter(({ text }) => seen.has(bare(text[language])))).toEqual([]);
    }
  });

  it("leaves no training message of which a held-out one is a small edit", () => {
    const atLeast = 0.8;
    for (const { text } of split.heldOut) {
      for (const other of split.training) {
        const [a, b] = [text.en, other.text.en];
        if (Math.min(a.length, b.length) < atLeast * Math.max(a.length, b.length)) continue;
        if (sharedLetters(a, b) < atLeast * Math.max(a.length, b.length)) continue;
        expect(editSimilarity(a, b), `${a} | ${b}`).toBeLessThan(atLeast);
      }
    }
  });

  it("gives the same split whatever the order of the messages, and another one for another seed", () => {
    const codes = (part: readonly { code: number }[]) => part.map(({ code }) => code);
    const reordered = splitMessages([...messages].reverse());
    expect(new Set(codes(reordered.heldOut))).toEqual(new Set(codes(split.heldOut)));
    const other = splitMessages(messages, { seed: 1 });
    expect(codes(other.heldOut)).not.toEqual(codes(split.heldOut));
  });

  it("refuses to hold out more than it can", () => {
    expect(() => splitMessages(messages.slice(0, 50), { heldOut: 50 })).toThrow(
      /heldOut = 50: of 50 messages/,
    );
    expect(() => splitMessages(messages.slice(0, 50), { heldOut: 0 })).toThrow(/heldOut = 0/);
  });
});

describe("the rows of the task", () => {
  it("are tag, message, tag, translation, end", () => {
    const [row] = translations(
      messages.filter(({ code }) => code === 1002),
      "es",
    );
    expect(row).toEqual({
      code: 1002,
      prompt: "<|en|>Unterminated string literal.<|es|>",
      completion: "Literal de cadena sin terminar.<|endoftext|>",
      english: "Unterminated string literal.",
      target: "Literal de cadena sin terminar.",
    });
  });

  it("pair English with every other language, and never with itself", () => {
    const { pairs, identical } = contrastivePairs(split.training);
    expect(pairs.length + identical).toBe(split.training.length * 13);
    expect(identical).toBe(15);
    expect(pairs[0]!.anchor).toMatch(/^<\|en\|>.+<\|endoftext\|>$/);
    expect(pairs[0]!.positive).toMatch(/^<\|cs\|>.+<\|endoftext\|>$/);
    const heldOutTexts = new Set(split.heldOut.flatMap(({ text }) => Object.values(text)));
    const plain = (text: string) => text.replace(/<\|[^|]*\|>/g, "");
    const leaked = pairs.filter(({ anchor, positive }) => {
      const texts = [plain(anchor), plain(positive)];
      return texts[0] === texts[1] || texts.some((text) => heldOutTexts.has(text));
    });
    expect(leaked).toEqual([]);
  });

  it("use sixteen special tokens", () => {
    expect(specialTokens.slice(0, 4)).toEqual(["<|endoftext|>", "<|pad|>", "<|en|>", "<|cs|>"]);
    expect(new Set(specialTokens).size).toBe(16);
  });

  it("are parted by length, the limit included", () => {
    const { fitting, tooLong } = partByLength(["a", "bb", "ccc"], (row) => row.length, 2);
    expect(fitting).toEqual(["a", "bb"]);
    expect(tooLong).toEqual(["ccc"]);
  });

  it("are scored by characters only where words have no spaces", () => {
    expect(bleuTokenizerFor("es")).toBe("13a");
    expect(bleuTokenizerFor("zh-tw")).toBe("zh");
    expect(bleuTokenizerFor("ja")).toBe("char");
  });
});
