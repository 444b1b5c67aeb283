/** @file Logits that are computed token by token with a cache, against those of transformers for the whole sequence. */
import { expect, it } from "vitest";
import { PromptCache, StepCache, type KeyValues } from "../../../src/generation/cache.js";
import { withPackedWeights } from "../../../src/nn/index.js";
import { compile, HostTensor, zeros, type Tensor } from "../../../src/tensor/index.js";
import { largestDifference } from "../fixtures.js";
import { expected, loadModel } from "./fixture.js";

const { sequence, logits } = expected;
const prompt = 5;
const capacity = sequence.length + 3;
const model = await loadModel();

const ids = (tokens: readonly number[]): HostTensor => new HostTensor(tokens, [1, tokens.length], "int64");

it.each([
  ["packed", withPackedWeights],
  ["plain", (body: () => unknown) => body()],
] as const)("%s weights give the logits of the whole sequence", async (_name, weights) => {
  const first = compile((tokens: Tensor) => {
    const cache = new PromptCache(model.windows, prompt, zeros([1], "int64"), capacity);
    const result = weights(() => model.forward(tokens, { cache })) as Tensor;
    return { logits: result, cache: cache.content };
  });
  const next = compile(
    (token: Tensor, column: Tensor, past: KeyValues) => {
      const cache = new StepCache(model.windows, past, column, zeros([1], "int64"));
      const options = { cache, positions: column };
      return { logits: weights(() => model.forward(token, options)) as Tensor, cache: cache.content };
    },
    { donate: [2] },
  );
  let step = await first(ids(sequence.slice(0, prompt)));
  const found = step.logits.toNumbers();
  for (let column = prompt; column < sequence.length; column++) {
    step = await next(ids([sequence[column]!]), new HostTensor([column], [1], "int64"), step.cache);
    found.push(...step.logits.toNumbers());
  }
  expect(largestDifference(found, logits.flat())).toBeLessThan(1e-4);
  expect(next.cached).toBe(1);
});
