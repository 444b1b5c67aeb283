/** @file What generation refuses, and how it says so. */
import { describe, expect, it } from "vitest";
import { generate, type GenerateOptions } from "../../../src/generation/index.js";
import { liveTensors, DeviceTensor } from "../../../src/torch/device_tensor.js";
import { loadModel } from "./fixture.js";

const model = await loadModel();
const good: GenerateOptions = { inputIds: [[1, 2, 3]], maxNewTokens: 2 };

describe("generate refuses", () => {
  it.each<[string, Partial<GenerateOptions>, RegExp]>([
    ["a row without tokens", { inputIds: [[1], []] }, /^inputIds\[1\]: has no token/],
    ["an id beyond the vocabulary", { inputIds: [[1], [2, 24]] }, /^inputIds\[1\]\[1\] = 24: .* 0 to 23/],
    ["a negative id", { inputIds: [[-1]] }, /^inputIds\[0\]\[0\] = -1/],
    ["a fraction as id", { inputIds: [[1.5]] }, /^inputIds\[0\]\[0\] = 1.5/],
    ["no new tokens", { maxNewTokens: 0 }, /^maxNewTokens = 0/],
    ["a negative temperature", { temperature: -0.1 }, /^temperature = -0.1: must be a number from 0 on/],
    ["a temperature that is no number", { temperature: NaN }, /^temperature/],
    ["an unknown end token", { eosTokenIds: [99] }, /^eosTokenIds\[0\] = 99/],
    ["an unknown padding token", { padTokenId: 24 }, /^padTokenId = 24/],
    ["a seed that is no integer", { seed: 0.5 }, /^seed = 0.5/],
    ["a batch of no rows", { batchSize: 0 }, /^batchSize = 0/],
    [
      "more tokens than positions",
      { maxNewTokens: 254 },
      /^maxNewTokens = 254: with the 3 tokens of inputIds\[0\] .* 256 positions.* at most 253/,
    ],
    [
      "a prompt longer than the positions",
      { inputIds: [new Array<number>(256).fill(1)], maxNewTokens: 1 },
      /256 positions of the model\. Give a shorter prompt\.$/,
    ],
  ])("%s", async (_name, options, message) => {
    await expect(generate(model, { ...good, ...options })).rejects.toThrow(message);
  });

  it("an option that there is not", async () => {
    const options = { ...good, topK: 5 };
    await expect(generate(model, options)).rejects.toThrow(/option topK: there is no such option/);
  });

  it.each([0, 1])("logits that are not numbers, at temperature %d", async (temperature) => {
    const broken = await loadModel();
    const before = liveTensors();
    const norm = broken.parameter("model.norm.weight");
    norm.set(DeviceTensor.full(norm.shape, NaN));
    const call = generate(broken, { ...good, temperature });
    await expect(call).rejects.toThrow(/^inputIds\[0\]: the model's logits for token 0 .* are NaN/);
    expect(liveTensors()).toBe(before);
    broken.dispose();
  });
});

it("continues no rows to no rows", async () => {
  expect(await generate(model, { inputIds: [], maxNewTokens: 1 })).toEqual({ sequences: [], stopped: [] });
});
