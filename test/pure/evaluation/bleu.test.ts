import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  bleuTokenizers,
  corpusBleu,
  tokenizeForBleu,
  type BleuOptions,
  type BleuScore,
  type BleuTokenizer,
} from "../../../src/evaluation/index.js";

interface Case {
  name: string;
  hypotheses: string[];
  references: string[][];
  results: (BleuScore & { options: BleuOptions })[];
}
interface TokenCase {
  segment: string;
  tokens: Record<BleuTokenizer, string[]>;
}
const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/evaluation/${name}`, import.meta.url), "utf8"));
const { cases } = read("bleu.json") as { cases: Case[] };
const smoothing = read("bleu_smoothing.json") as { cases: Omit<Case, "hypotheses" | "references">[] };
const tokens = read("bleu_tokens.json") as { cases: TokenCase[] };

const withoutVersion = (signature: string) => signature.replace(/\|version:.*$/, "");

describe("corpusBleu equals sacreBLEU", () => {
  for (const { name, hypotheses, references, results } of cases) {
    it(name, () => {
      for (const { options, ...expected } of results) {
        const ours = corpusBleu(hypotheses, references, options);
        expect(Math.abs(ours.score - expected.score)).toBeLessThan(1e-9);
        expect(Math.abs(ours.brevityPenalty - expected.brevityPenalty)).toBeLessThan(1e-12);
        for (const [i, precision] of expected.precisions.entries()) {
          expect(Math.abs(ours.precisions[i]! - precision)).toBeLessThan(1e-9);
        }
        expect(ours.matches).toEqual(expected.matches);
        expect(ours.totals).toEqual(expected.totals);
        expect(ours.hypothesisLength).toBe(expected.hypothesisLength);
        expect(ours.referenceLength).toBe(expected.referenceLength);
        expect(withoutVersion(ours.signature)).toBe(withoutVersion(expected.signature));
      }
    });
  }

  for (const { name, results } of smoothing.cases) {
    it(`${name}, smoothed in each way`, () => {
      const { hypotheses, references } = cases.find((corpus) => corpus.name === name)!;
      for (const { options, ...expected } of results) {
        const ours = corpusBleu(hypotheses, references, options);
        expect(Math.abs(ours.score - expected.score)).toBeLessThan(1e-9);
        for (const [i, precision] of expected.precisions.entries())
          expect(Math.abs(ours.precisions[i]! - precision)).toBeLessThan(1e-9);
        expect(withoutVersion(ours.signature)).toBe(withoutVersion(expected.signature));
      }
    });
  }

  it("has corpora whose scores spread from 0 to 100", () => {
    const scores = cases.flatMap(({ results }) => results.map(({ score }) => score));
    expect(Math.min(...scores)).toBe(0);
    expect(Math.max(...scores)).toBeCloseTo(100, 9);
    expect(new Set(scores.map((score) => Math.round(score / 10))).size).toBeGreaterThan(7);
  });

  it("uses 13a, mixed case and all four orders by default, and takes one reference as a plain string", () => {
    const { hypotheses, references, results } = cases.find(({ name }) => name === "close")!;
    const ours = corpusBleu(
      hypotheses,
      references.map(([only]) => only!),
    );
    expect(Math.abs(ours.score - results[0]!.score)).toBeLessThan(1e-9);
    expect(ours.signature).toMatch(
      /^nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp\|version:contrastive-ft-\d+\.\d+\.\d+/,
    );
  });
});

describe("tokenizeForBleu equals sacreBLEU's tokenizers", () => {
  for (const { segment, tokens: expected } of tokens.cases) {
    it(JSON.stringify(segment), () => {
      for (const name of bleuTokenizers) expect(tokenizeForBleu(segment, name), name).toEqual(expected[name]);
    });
  }
});

describe("corpusBleu refuses", () => {
  it("lists of different length", () => {
    expect(() => corpusBleu(["a", "b"], ["a"])).toThrow(
      /hypotheses and references = \[2,1\]: .*one reference/,
    );
  });
  it("no segments at all", () => {
    expect(() => corpusBleu([], [])).toThrow(/at least one/);
  });
  it("a segment without reference", () => {
    expect(() => corpusBleu(["a", "b"], [["a"], []])).toThrow(/references\[1\]/);
  });
  it("an unknown tokenizer, smoothing or option", () => {
    const given = (text: string) => JSON.parse(text) as BleuOptions;
    const call = (text: string) => () => corpusBleu(["a"], ["a"], given(text));
    expect(call('{"tokenize":"14a"}')).toThrow(/tokenize = 14a: .*"13a", "intl", "zh", "char"/);
    expect(call('{"smooth":"linear"}')).toThrow(/smooth = linear: .*"exp", "floor", "add-k", "none"/);
    expect(call('{"order":3}')).toThrow(/order: .*tokenize, lowercase, effectiveOrder, smooth, smoothValue/);
  });
  it("a smoothing value where there is none, and one that is not above 0", () => {
    expect(() => corpusBleu(["a"], ["a"], { smoothValue: 0.1 })).toThrow(
      /smoothValue = 0.1: smoothing "exp" takes no value/,
    );
    for (const smoothValue of [0, -1, NaN])
      expect(() => corpusBleu(["a"], ["a"], { smooth: "floor", smoothValue })).toThrow(/above 0/);
  });
});
