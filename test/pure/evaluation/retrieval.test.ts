import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  alignmentScore,
  contrastiveAccuracy,
  retrieval,
  uniformityScore,
} from "../../../src/evaluation/index.js";

interface Case {
  queries: number[][];
  candidates: number[][];
  ranks: number[];
  recall: Record<string, number>;
  meanReciprocalRank: number;
  batchSize: number;
  accuracy: number;
  alignment: number;
  uniformity: number;
}
const { cases } = JSON.parse(
  readFileSync(new URL("../../fixtures/evaluation/retrieval.json", import.meta.url), "utf8"),
) as { cases: Case[] };

const vectors = (rows: number[][]) => rows.map((row) => Float32Array.from(row));

describe("retrieval, contrastive accuracy, alignment and uniformity equal PyTorch's", () => {
  for (const given of cases) {
    it(`${given.queries.length} rows`, () => {
      const queries = vectors(given.queries);
      const candidates = vectors(given.candidates);
      const ours = retrieval(queries, candidates);
      expect(ours.ranks).toEqual(given.ranks);
      expect(new Set(ours.ranks).size).toBeGreaterThan(2);
      for (const [k, recall] of Object.entries(given.recall)) {
        expect(ours.recall.get(Number(k))).toBeCloseTo(recall, 12);
      }
      expect(ours.meanReciprocalRank).toBeCloseTo(given.meanReciprocalRank, 12);
      expect(contrastiveAccuracy(queries, candidates, given.batchSize)).toBeCloseTo(given.accuracy, 12);
      expect(alignmentScore(queries, candidates)).toBeCloseTo(given.alignment, 5);
      expect(uniformityScore(queries)).toBeCloseTo(given.uniformity, 5);
    });
  }
});

describe("alignment and uniformity", () => {
  const axes = vectors([
    [3, 0],
    [0, 2],
  ]);
  const opposite = vectors([
    [-1, 0],
    [0, -5],
  ]);
  it("are what the unit circle says", () => {
    expect(alignmentScore(axes, axes)).toBe(0);
    expect(alignmentScore(axes, opposite)).toBeCloseTo(4, 6);
    expect(uniformityScore([axes[0]!, axes[0]!])).toBeCloseTo(0, 12);
    expect(uniformityScore(axes)).toBeCloseTo(-4, 6); // e^(-2 · 2)
  });
  it("refuse what has no direction or no other row", () => {
    expect(() => uniformityScore([axes[0]!])).toThrow(/vectors = 1: there must be at least 2 rows/);
    expect(() => alignmentScore(axes, [axes[0]!, Float32Array.of(0, 0)])).toThrow(/positives\[1\]/);
  });
});

describe("retrieval", () => {
  const axes = vectors([
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ]);

  it("gives the ranks that can be read off the angles", () => {
    // Query 0 lies nearest to axis 1, then 0, then 2; query 1 on its axis; query 2 nearest to 0, then 1, then 2.
    const queries = vectors([
      [2, 3, 1],
      [0, 9, 0],
      [3, 2, 1],
    ]);
    const { ranks, recall, meanReciprocalRank } = retrieval(queries, axes, { recallAt: [1, 2, 3] });
    expect(ranks).toEqual([2, 1, 3]);
    expect([...recall]).toEqual([
      [1, 1 / 3],
      [2, 2 / 3],
      [3, 1],
    ]);
    expect(meanReciprocalRank).toBeCloseTo((1 / 2 + 1 + 1 / 3) / 3, 15);
  });

  it("gives a collapsed space the worst rank, not the best", () => {
    const same = vectors([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    expect(retrieval(same, same).ranks).toEqual([3, 3, 3]);
    expect(contrastiveAccuracy(same, same, 3)).toBe(0);
  });

  it("takes any candidate of the same name as right", () => {
    const twice = vectors([
      [1, 0],
      [1, 0],
      [0, 1],
    ]);
    expect(retrieval(twice, twice).ranks).toEqual([2, 2, 1]);
    expect(retrieval(twice, twice, { names: ["a", "a", "b"] }).ranks).toEqual([1, 1, 1]);
  });

  it("refuses what has no cosine or no rivals", () => {
    const [x, y, z] = axes;
    expect(() => retrieval([x!, y!], [x!])).toThrow(/queries and candidates = \[2,1\]/);
    expect(() => retrieval([x!], [x!])).toThrow(/at least 2/);
    expect(() => retrieval([x!, y!], [x!, new Float32Array(3)])).toThrow(
      /candidates\[1\]: a vector of zeros/,
    );
    expect(() => retrieval([x!, Float32Array.of(1, NaN, 0)], [x!, z!])).toThrow(/queries\[1\] = NaN/);
    expect(() => retrieval([x!, y!], [x!, Float32Array.of(1)])).toThrow(/candidates\[1\] = 1: .*3 values/);
    expect(() => retrieval(axes, axes, { recallAt: [4] })).toThrow(/recallAt = 4: .*3/);
    expect(() => retrieval(axes, axes, { names: ["a"] })).toThrow(/names = 1/);
  });
});

describe("contrastiveAccuracy", () => {
  // Row i's positive is itself; row 4 is nearer to row 0's positive than to its own.
  const anchors = vectors([
    [1, 0],
    [0, 1],
    [-1, 0],
    [0, -1],
    [1, 0.1],
  ]);
  const positives = [...anchors.slice(0, 4), Float32Array.of(1, 1)];

  it("pits rows only against those of their own batch, and leaves none out", () => {
    // In one batch of 5 row 4 loses to row 0; in the batches of rows 0-1 and 2-4 it does not meet it.
    expect(contrastiveAccuracy(anchors, positives, 5)).toBeCloseTo(4 / 5, 15);
    expect(contrastiveAccuracy(anchors, positives, 2)).toBe(1);
    expect(contrastiveAccuracy(anchors, positives, 64)).toBeCloseTo(4 / 5, 15);
  });

  it("refuses a batch without a negative", () => {
    expect(() => contrastiveAccuracy(anchors, positives, 1)).toThrow(/batchSize = 1: .*negative/);
  });
});
