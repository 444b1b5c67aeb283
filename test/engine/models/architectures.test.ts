/** @file Each architecture against transformers: logits, loss, gradients and greedy tokens in float32. */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { generate } from "../../../src/generation/index.js";
import { supportedModelTypes } from "../../../src/models/index.js";
import { withPackedWeights } from "../../../src/nn/index.js";
import {
  compile,
  constant,
  drawsRandomNumbers,
  HostTensor,
  type NestedNumbers,
  type Tensor,
} from "../../../src/tensor/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import {
  architectures,
  architecturesFolder,
  inputs,
  loadArchitecture,
  prompts,
} from "./architecture_fixture.js";
import { realLogits, run } from "./llama_fixture.js";

beforeAll(() => loadTorch());

it("every supported architecture has a checkpoint, Llama's apart", () => {
  expect(architectures.map(([name]) => name).sort()).toEqual(
    supportedModelTypes.filter((name) => name !== "llama").sort(),
  );
});

it.each<[string, Record<string, number>, boolean]>([
  ["gpt2", { embd_pdrop: 0, resid_pdrop: 0, attn_pdrop: 0 }, false],
  ["gpt2", { embd_pdrop: 0.1, resid_pdrop: 0, attn_pdrop: 0 }, true],
  ["gpt2", { embd_pdrop: 0, resid_pdrop: 0.1, attn_pdrop: 0 }, true],
  ["gpt2", { embd_pdrop: 0, resid_pdrop: 0, attn_pdrop: 0.1 }, true],
  ["phi3", { resid_pdrop: 0 }, false],
  ["phi3", { resid_pdrop: 0.1 }, true],
  ["gpt_neox", {}, false],
  ["gpt_neox", { hidden_dropout: 0.1 }, true],
  ["mistral", {}, false],
  ["mistral", { attention_dropout: 0.1 }, true],
])("in training %s with %j drops something: %s", async (name, fields, drops) => {
  using model = await loadArchitecture(name, fields);
  expect(drawsRandomNumbers(() => model.hiddenStates(constant([[4, 5]], "int64")))).toBe(drops);
});

describe("LongRoPE beyond the length from which it has other factors", () => {
  const crossing = architectures.find(([name]) => name === "phi3")![1].crossing!;
  const fields = { original_max_position_embeddings: 16 };
  const options = { maxNewTokens: 32, eosTokenIds: [], temperature: 0 };

  it("continues prompts as transformers does, alone, in a batch, and several times over", async () => {
    using model = await loadArchitecture("phi3", fields);
    const before = liveTensors();
    expect((await generate(model, { ...options, inputIds: prompts })).sequences).toEqual(crossing);
    for (const [i, prompt] of prompts.entries())
      expect((await generate(model, { ...options, inputIds: [prompt] })).sequences).toEqual([crossing[i]]);
    expect(liveTensors()).toBe(before);
  });

  it("draws the same tokens for several sequences of a prompt as for the prompt given several times", async () => {
    using model = await loadArchitecture("phi3", fields);
    const drawn = { ...options, temperature: 1, seed: 3 };
    const copies = await generate(model, { ...drawn, inputIds: [prompts[0]!], numReturnSequences: 3 });
    const rows = await generate(model, { ...drawn, inputIds: [0, 1, 2].map(() => prompts[0]!) });
    expect(copies.sequences).toEqual(rows.sequences);
    expect(new Set(copies.sequences.map(String)).size).toBe(3);
  });

  it("is not followed by beams, which is refused", async () => {
    using model = await loadArchitecture("phi3", fields);
    const beams = { ...options, temperature: undefined, inputIds: prompts, numBeams: 2 };
    await expect(generate(model, beams)).rejects.toThrow(
      /maxNewTokens = 32: takes the 3 tokens of inputIds\[0\] past 16, .* Give at most 14, or numBeams: 1/,
    );
    const { sequences } = await generate(model, { ...beams, inputIds: [prompts[0]!], maxNewTokens: 14 });
    expect(sequences[0]).toHaveLength(14);
  });
});

describe.each(architectures)("%s", (name, { variants, greedy }) => {
  let fixture: Map<string, Expected>;
  beforeAll(() => {
    fixture = readTensors(join(architecturesFolder, name, "expected.safetensors"));
  });

  it("gives logits, loss and the gradient of every parameter as transformers does", async () => {
    const before = liveTensors();
    {
      using model = await loadArchitecture(name);
      const { logits, loss, gradients } = await run(model, inputs.plain);
      const found = realLogits(logits, inputs.plain, 1);
      expect(largestDifference(found, need(fixture, "plain/logits").values)).toBeLessThan(5e-5);
      expect(Math.abs(loss - need(fixture, "plain/loss").values[0]!)).toBeLessThan(2e-5);
      const expected = [...fixture.keys()].filter((key) => key.startsWith("plain/grad."));
      expect(expected.map((key) => key.slice("plain/grad.".length)).sort()).toEqual(
        [...gradients.keys()].sort(),
      );
      for (const [parameter, gradient] of gradients) {
        expectClose(gradient, need(fixture, `plain/grad.${parameter}`), `gradient of ${parameter}`, 2e-4);
        gradient.dispose();
      }
      logits.dispose();
    }
    expect(liveTensors()).toBe(before);
  });

  it("gives the same logits with padding on the left, and with packed weights", async () => {
    using model = await loadArchitecture(name);
    const expected = need(fixture, "left/logits").values;
    for (const around of [undefined, withPackedWeights]) {
      const { logits, loss } = await run(model, inputs.left, [], around);
      expect(largestDifference(realLogits(logits, inputs.left, 1), expected)).toBeLessThan(5e-5);
      expect(Math.abs(loss - need(fixture, "left/loss").values[0]!)).toBeLessThan(2e-5);
      logits.dispose();
    }
  });

  it.each(Object.entries(variants))("variant: %s", async (variant, fields) => {
    using model = await loadArchitecture(name, fields);
    const { logits, loss } = await run(model, inputs.plain, []);
    const found = realLogits(logits, inputs.plain, 1);
    expect(largestDifference(found, need(fixture, `${variant}/logits`).values)).toBeLessThan(5e-5);
    expect(Math.abs(loss - need(fixture, `${variant}/loss`).values[0]!)).toBeLessThan(2e-5);
    // And it is a variant: the settings change something.
    expect(largestDifference(found, need(fixture, "plain/logits").values)).toBeGreaterThan(1e-3);
    logits.dispose();
  });

  it("keeps documents in one row apart, and computes only what is asked for", async () => {
    using model = await loadArchitecture(name);
    const { vocabSize } = model.shape;
    const texts = inputs.plain.inputIds.map((row, i) => row.slice(0, 7 + i));
    const joined = texts.flat();
    const one = compile((ids: Tensor) => model.forward(ids));
    const packed = compile((ids: Tensor, documents: Tensor, positions: Tensor, at: Tensor) => {
      const options = { documents, positions };
      return {
        all: model.forward(ids, options),
        some: model.logits(model.hiddenStates(ids, { ...options, at })),
      };
    });
    const ints = (rows: NestedNumbers): HostTensor => HostTensor.from(rows, "int64");
    const alone: number[] = [];
    for (const text of texts) {
      using logits = await one(ints([text]));
      alone.push(...logits.toNumbers());
    }
    const { all, some } = await packed(
      ints([joined]),
      ints([texts.flatMap((text, i) => text.map(() => i))]),
      ints([texts.flatMap((text) => text.map((_, i) => i))]),
      ints([3, 9]),
    );
    expect(largestDifference(all.toNumbers(), alone)).toBeLessThan(2e-5);
    const wanted = [3, 9].flatMap((at) => alone.slice(at * vocabSize, (at + 1) * vocabSize));
    expect(largestDifference(some.toNumbers(), wanted)).toBeLessThan(2e-5);
    for (const tensor of [all, some]) tensor.dispose();
    for (const program of [one, packed]) program.dispose();
  });

  it("computes a beginning once for the texts that share it", async () => {
    using model = await loadArchitecture(name);
    const [prompt, ...ends] = [inputs.plain.inputIds[0]!.slice(0, 5), [7, 3, 9, 4, 8, 6], [5, 9, 3, 7]];
    const one = compile((ids: Tensor) => model.forward(ids));
    const shared = compile((ids: Tensor, branches: Tensor, documents: Tensor, positions: Tensor) =>
      model.forward(ids, { branches, documents, positions }),
    );
    const ints = (rows: NestedNumbers): HostTensor => HostTensor.from(rows, "int64");
    const alone: number[][] = [];
    for (const end of ends) {
      using logits = await one(ints([[...prompt, ...end]]));
      alone.push(logits.toNumbers());
    }
    const { vocabSize } = model.shape;
    const first = prompt.length * vocabSize;
    const expected = [...alone[0]!, ...alone[1]!.slice(first)];
    // The same once more as another document of the row.
    const parts = [prompt, ...ends, prompt, ...ends];
    const of = (number: (part: number, place: number) => number): HostTensor =>
      ints([parts.flatMap((part, i) => part.map((_, place) => number(i, place)))]);
    using found = await shared(
      ints([parts.flat()]),
      of((part) => part % 3),
      of((part) => Math.floor(part / 3)),
      of((part, place) => place + (part % 3 === 0 ? 0 : prompt.length)),
    );
    expect(largestDifference(found.toNumbers(), [...expected, ...expected])).toBeLessThan(2e-5);
    for (const program of [one, shared]) program.dispose();
  });

  it("continues prompts as transformers does, alone and padded in a batch", async () => {
    using model = await loadArchitecture(name);
    const options = { maxNewTokens: 32, eosTokenIds: [], temperature: 0 };
    const batch = await generate(model, { ...options, inputIds: prompts });
    expect(batch.sequences).toEqual(greedy);
    for (const [i, prompt] of prompts.entries())
      expect((await generate(model, { ...options, inputIds: [prompt] })).sequences).toEqual([greedy[i]]);
  });
});
