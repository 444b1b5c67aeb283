/** @file What is kept of layers that see a window of tokens. */
import { describe, expect, it } from "vitest";
import { grown, PromptCache, StepCache, type KeyValues } from "../../../src/generation/cache.js";
import { generationMemory } from "../../../src/generation/memory.js";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { compile, HostTensor, zeros, type Tensor } from "../../../src/tensor/index.js";

const windows = [4, undefined];

/** Keys and values whose elements are the numbers of their columns, counted from 1. */
const numbered = (from: number, count: number): HostTensor =>
  new HostTensor(
    Array.from({ length: count }, (_, i) => from + i + 1),
    [1, 1, count, 1],
    "float32",
  );

const prompt = compile((x: Tensor, capacity: number) => {
  const cache = new PromptCache(windows, x.size(2), zeros([1], "int64"), capacity);
  const bias = windows.map((_, layer) => {
    cache.update(layer, x, x);
    return cache.bias(layer);
  });
  return { cache: cache.content, bias };
});

const next = compile((x: Tensor, column: Tensor, past: KeyValues) => {
  const cache = new StepCache(windows, past, column, zeros([1], "int64"));
  const bias = windows.map((_, layer) => {
    cache.update(layer, x, x);
    return cache.bias(layer);
  });
  return { cache: cache.content, bias };
});

const grow = compile((past: KeyValues, capacity: number) => grown(past, windows, capacity));

/** Columns of the keys that a token sees: those of the slots whose score is left as it is. */
const seen = (keys: readonly number[], bias: readonly number[]): number[] =>
  keys.filter((_, slot) => bias[slot] === 0).sort((a, b) => a - b);

describe("a layer with a window of 4 beside one without", () => {
  it("keeps the last columns of a prompt, each in the slot of its number", async () => {
    const { cache } = await prompt(numbered(0, 10), 16);
    expect(cache.keys[0]!.toNumbers()).toEqual([9, 10, 7, 8]);
    expect(cache.values[0]!.toNumbers()).toEqual([9, 10, 7, 8]);
    expect(cache.keys[1]!.toNumbers()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 0, 0, 0, 0]);
  });

  it("grows to its window and no further", async () => {
    const { cache } = await prompt(numbered(0, 2), 3);
    expect(cache.keys.map(({ shape }) => shape[2])).toEqual([3, 3]);
    const wide = await grow(cache, 8);
    expect(wide.keys[0]!.toNumbers()).toEqual([1, 2, 0, 0]);
    expect(wide.keys[1]!.toNumbers()).toEqual([1, 2, 0, 0, 0, 0, 0, 0]);
  });

  it.each([1, 3, 4, 6, 10])("shows each token after %i the window up to itself", async (length) => {
    let { cache } = await prompt(numbered(0, length), 16);
    for (let column = length; column < 16; column++) {
      const step = await next(numbered(column, 1), new HostTensor([column], [1], "int64"), cache);
      const [windowed, whole] = step.cache.keys.map((keys, i) =>
        seen(keys.toNumbers(), step.bias[i]!.toNumbers()),
      );
      const all = Array.from({ length: column + 1 }, (_, i) => i + 1);
      expect(whole).toEqual(all);
      expect(windowed).toEqual(all.slice(-4));
      cache = step.cache;
    }
  });
});

it("the cache of a model with windows alone does not grow with the text", async () => {
  const model = await AutoModelForCausalLM.fromPretrained("test/fixtures/architectures/mistral", {
    dtype: "float32",
  });
  const { layers, kvHeads, headSize } = model.shape;
  const [window] = model.windows;
  expect(model.windows).toEqual(new Array(layers).fill(5));
  const bytes = 2 * layers * kvHeads * headSize * window! * 4;
  expect(generationMemory(model, 3, 16).cache).toBe(3 * bytes);
  expect(generationMemory(model, 3, 48).cache).toBe(3 * bytes);
  model.dispose();
});
