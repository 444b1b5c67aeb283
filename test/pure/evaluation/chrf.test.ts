import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { corpusChrf, type ChrfOptions, type ChrfScore } from "../../../src/evaluation/index.js";

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/evaluation/${name}`, import.meta.url), "utf8"));
const corpora = read("bleu.json") as {
  cases: { name: string; hypotheses: string[]; references: string[][] }[];
};
const { cases } = read("chrf.json") as {
  cases: { name: string; results: (ChrfScore & { options: ChrfOptions })[] }[];
};

const withoutVersion = (signature: string) => signature.replace(/\|version:.*$/, "");

describe("corpusChrf equals sacreBLEU", () => {
  for (const { name, results } of cases) {
    it(name, () => {
      const { hypotheses, references } = corpora.cases.find((corpus) => corpus.name === name)!;
      for (const { options, ...expected } of results) {
        const ours = corpusChrf(hypotheses, references, options);
        expect(Math.abs(ours.score - expected.score)).toBeLessThan(1e-9);
        expect(ours.name).toBe(expected.name);
        expect(withoutVersion(ours.signature)).toBe(withoutVersion(expected.signature));
      }
    });
  }

  it("has corpora whose scores spread from 0 to 100", () => {
    const scores = cases.flatMap(({ results }) => results.map(({ score }) => score));
    expect(Math.max(...scores)).toBeCloseTo(100, 9);
    expect(new Set(scores.map((score) => Math.round(score / 10))).size).toBeGreaterThan(7);
  });
});

describe("corpusChrf refuses", () => {
  it.each([
    ['{"charOrder":0}', /charOrder = 0: .*from 1 on/],
    ['{"wordOrder":-1}', /wordOrder = -1/],
    ['{"beta":1.5}', /beta = 1.5/],
    ['{"order":2}', /option order: .*charOrder, wordOrder, beta/],
  ])("%s", (options, message) => {
    expect(() => corpusChrf(["a"], ["a"], JSON.parse(options) as ChrfOptions)).toThrow(message);
  });
  it("lists of different length", () => {
    expect(() => corpusChrf(["a", "b"], ["a"])).toThrow(/hypotheses and references = \[2,1\]/);
  });
});
