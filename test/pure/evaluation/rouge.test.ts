/** @file ROUGE: values that rouge_score's own tests state, the example of section 3.2 of Lin 2004, and counts by hand. */
import { describe, expect, it } from "vitest";
import { corpusRouge, rouge, type RougeKind, type RougeScore } from "../../../src/evaluation/index.js";

const close = (score: RougeScore, precision: number, recall: number, f1: number) => {
  expect(score.precision).toBeCloseTo(precision, 12);
  expect(score.recall).toBeCloseTo(recall, 12);
  expect(score.f1).toBeCloseTo(f1, 12);
};

describe("rouge", () => {
  it.each<[RougeKind, string, string, number, number, number]>([
    ["rouge1", "testing", "testing one two", 1, 1 / 3, 1 / 2],
    ["rouge2", "testing one", "testing one two", 1, 1 / 2, 2 / 3],
    ["rougeL", "testing one", "testing one two", 1, 2 / 3, 4 / 5],
    ["rougeL", "testing two", "testing one two", 1, 2 / 3, 4 / 5],
    ["rougeLsum", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5", 0.4, 0.8, 0.8 / 1.5],
    // Words repeat: two of three "a" are in the other, in either direction.
    ["rouge1", "a a a b", "a c a", 2 / 4, 2 / 3, 4 / 7],
    // The order matters: "c d" or "a b" is common, not both.
    ["rougeL", "c d a b", "a b c d", 2 / 4, 2 / 4, 1 / 2],
    // Lines of the reference take words of the text in turn, and "a" is there once only.
    ["rougeLsum", "a b", "a\nb a", 1, 2 / 3, 4 / 5],
    // Punctuation, case and other scripts are no words.
    ["rougeL", "It's THE end, é!", "the (End)", 2 / 4, 1, 2 / 3],
    ["rougeL", "", "testing", 0, 0, 0],
    ["rougeLsum", "/", "w1 w2", 0, 0, 0],
    ["rouge2", "one", "one", 0, 0, 0],
  ])("%s of %j for %j", (kind, hypothesis, reference, precision, recall, f1) => {
    close(rouge(hypothesis, reference, kind), precision, recall, f1);
  });

  it("counts the reference with the best F1", () => {
    close(rouge("a b c", ["x y", "a b c d", "a"]), 1, 3 / 4, 6 / 7);
  });

  it("averages segments", () => {
    close(corpusRouge(["testing", "none"], ["testing one two", ["some"]], "rouge1"), 1 / 2, 1 / 6, 1 / 4);
  });

  it("refuses an unknown kind, and a segment without reference", () => {
    expect(() => rouge("a", "a", "rouge9" as RougeKind)).toThrow(/kind = rouge9: .*"rouge1", "rouge2"/);
    expect(() => corpusRouge(["a"], [[]])).toThrow(/references\[0\]/);
  });
});
