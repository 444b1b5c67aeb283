/** @file Sampling: the distribution that transformers' logits say, and nothing but the seed decides. */
import { afterAll, describe, expect, it } from "vitest";
import { choose } from "../../../src/generation/choose.js";
import { TokenGenerator } from "../../../src/generation/index.js";
import { compile, HostTensor, type Tensor } from "../../../src/tensor/index.js";
import { expected, loadModel } from "./fixture.js";

const { prompts, greedy, chances, temperature } = expected;
const model = await loadModel();
const generator = new TokenGenerator(model);
afterAll(() => generator.dispose());

/** Pearson's statistic of counts against chances; tokens that are expected less than 5 times are one class. */
function chiSquare(
  counts: readonly number[],
  probabilities: readonly number[],
): { value: number; classes: number } {
  const total = counts.reduce((a, b) => a + b, 0);
  const classes = new Map<number, { seen: number; expected: number }>();
  probabilities.forEach((p, i) => {
    const key = p * total < 5 ? -1 : i;
    const { seen, expected } = classes.get(key) ?? { seen: 0, expected: 0 };
    classes.set(key, { seen: seen + counts[i]!, expected: expected + p * total });
  });
  const terms = [...classes.values()].map(({ seen, expected }) => (seen - expected) ** 2 / expected);
  return { value: terms.reduce((a, b) => a + b, 0), classes: terms.length };
}

/** The value that a chi-square variable exceeds once in a thousand times (Wilson and Hilferty 1931). */
const bound = (classes: number): number => {
  const freedom = classes - 1;
  return freedom * (1 - 2 / (9 * freedom) + 3.09 * Math.sqrt(2 / (9 * freedom))) ** 3;
};

async function sampleFirst(t: number): Promise<number[]> {
  const inputIds = Array.from({ length: 3000 }, () => prompts[0]!);
  const { sequences } = await generator.generate({
    inputIds,
    maxNewTokens: 1,
    temperature: t,
    batchSize: 1000,
    seed: 7,
  });
  const counts = chances.map(() => 0);
  for (const [token] of sequences) counts[token!]!++;
  return counts;
}

describe("sampling", () => {
  it("draws from softmax(logits / temperature)", async () => {
    const { value, classes } = chiSquare(await sampleFirst(temperature), chances);
    expect(classes).toBeGreaterThan(5);
    expect(value).toBeLessThan(bound(classes));
    const other = chiSquare(await sampleFirst(temperature * 1.3), chances);
    expect(other.value).toBeGreaterThan(bound(other.classes));
  });

  it("is a function of the seed, the row and the place", async () => {
    const call = async (seed: number, batchSize: number): Promise<number[][]> =>
      (await generator.generate({ inputIds: prompts, maxNewTokens: 20, temperature: 1, seed, batchSize }))
        .sequences;
    const first = await call(1, 4);
    expect(await call(1, 4)).toEqual(first);
    expect(await call(1, 3)).toEqual(first);
    expect(await call(2, 4)).not.toEqual(first);
    const twins = [prompts[0]!, prompts[0]!];
    const { sequences } = await generator.generate({ inputIds: twins, maxNewTokens: 20, temperature: 1 });
    expect(sequences[0]).not.toEqual(sequences[1]);
  });

  it("takes the likeliest token at a temperature near 0", async () => {
    for (const near of [1e-4, 1e-30, 5e-324]) {
      const { sequences } = await generator.generate({
        inputIds: prompts,
        maxNewTokens: 8,
        temperature: near,
      });
      expect(sequences).toEqual(greedy.map((row) => row.slice(0, 8)));
    }
  });

  it("splits [0, 1) among the tokens in order of their ids, and leaves out those without a chance", async () => {
    const program = compile((logits: Tensor, uniform: Tensor, t: Tensor) =>
      choose(logits, {
        sampling: { uniform, temperature: t, topK: 0, topP: undefined, minP: undefined },
        penalty: undefined,
        logProbs: undefined,
        logProbsTemperature: undefined,
      }),
    );
    // Chances 0, 1/4, 0, 1/2, 1/4, 0.
    const row = [-Infinity, 0, -Infinity, Math.log(2), 0, -Infinity];
    const cases = [
      [0, 1],
      [0.2499, 1],
      [0.2501, 3],
      [0.7499, 3],
      [0.7501, 4],
      [1 - 2 ** -53, 4],
    ] as const;
    const { token, sound } = await program(
      new HostTensor(
        cases.flatMap(() => row),
        [cases.length, row.length],
        "float32",
      ),
      new HostTensor(
        cases.map(([u]) => u),
        [cases.length],
        "float64",
      ),
      new HostTensor([1], [], "float64"),
    );
    expect(token.toNumbers()).toEqual(cases.map(([, id]) => id));
    expect(sound.toNumbers().some(Number.isNaN)).toBe(false);
    program.dispose();
  });
});
