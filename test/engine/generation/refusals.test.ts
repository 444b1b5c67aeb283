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
    ["tokens to draw from below 0", { temperature: 1, topK: -1 }, /^topK = -1: must be an integer from 0 on/],
    ["a share above 1", { temperature: 1, topP: 1.1 }, /^topP = 1.1: must be a number from 0 to 1/],
    ["a negative share", { temperature: 1, minP: -0.1 }, /^minP = -0.1: must be a number from 0 to 1/],
    ["a penalty of 0", { repetitionPenalty: 0 }, /^repetitionPenalty = 0: must be a number above 0/],
    [
      "filters without drawing",
      { topP: 0.9 },
      /^topP = 0.9: acts on tokens that are drawn, but temperature is 0/,
    ],
    ["several equal answers", { numReturnSequences: 2 }, /^numReturnSequences = 2: all would be equal/],
    ["an unknown stop token", { stopTokenIds: [2, 24] }, /^stopTokenIds\[1\] = 24/],
    ["stop strings without tokenizer", { stopStrings: ["a"] }, /^stopStrings = .*there is no tokenizer/],
    ["an empty stop string", { stopStrings: ["a", ""] }, /^stopStrings\[1\]: is empty/],
    [
      "more log-probabilities than tokens",
      { logProbs: 25 },
      /^logProbs = 25: must be an integer from 0 to 24/,
    ],
    ["no beams", { numBeams: 0 }, /^numBeams = 0/],
    ["beams that are drawn", { numBeams: 2, temperature: 1 }, /^temperature = 1: beams are not drawn/],
    [
      "tokens of beams as they come",
      { numBeams: 2, onToken: () => undefined },
      /^onToken = given: is not there with/,
    ],
    [
      "log-probabilities of beams",
      { numBeams: 2, logProbs: 1 },
      /^logProbs = 1: is not there with beam search/,
    ],
    [
      "more answers than beams",
      { numBeams: 2, numReturnSequences: 3 },
      /^numReturnSequences = 3: .* the 2 beams/,
    ],
    [
      "settings of beams without beams",
      { lengthPenalty: 2 },
      /^lengthPenalty = 2: is of beam search, but numBeams is 1/,
    ],
    [
      "a length penalty that is no number",
      { numBeams: 2, lengthPenalty: NaN },
      /^lengthPenalty = null: must be a number/,
    ],
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
    const options = { ...good, topk: 5 };
    await expect(generate(model, options)).rejects.toThrow(/option topk: there is no such option/);
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
