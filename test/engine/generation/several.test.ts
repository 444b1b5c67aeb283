/** @file Several continuations of a prompt, stop tokens and strings, streams, and defaults of generation_config.json. */
import { afterAll, describe, expect, it } from "vitest";
import { TokenGenerator, type GeneratedToken, type GenerateOptions } from "../../../src/generation/index.js";
import type { JsonObject } from "../../../src/models/python_json.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { expected, loadModel } from "./fixture.js";

const { prompts, greedy, chances, temperature } = expected;
const model = await loadModel();
const generator = new TokenGenerator(model);
afterAll(() => generator.dispose());

/** Letters for tokens: "a" is 0. */
const tokenizer = {
  decode: (ids: readonly number[]) => ids.map((id) => String.fromCharCode(97 + id)).join(""),
};
const text = tokenizer.decode;

describe("several sequences of a prompt", () => {
  const options = { inputIds: prompts, maxNewTokens: 12, temperature: 1, seed: 3 };

  it("are what the same number of equal prompts gives", async () => {
    const three = await generator.generate({ ...options, numReturnSequences: 3 });
    const repeated = prompts.flatMap((prompt) => [prompt, prompt, prompt]);
    expect(three.sequences).toEqual((await generator.generate({ ...options, inputIds: repeated })).sequences);
    expect(new Set(three.sequences.slice(0, 3).map(text)).size).toBe(3);
    for (const batchSize of [1, 6]) {
      const found = await generator.generate({ ...options, numReturnSequences: 3, batchSize });
      expect(found.sequences).toEqual(three.sequences);
    }
  });

  it("are drawn as one is, with a penalty each of its own", async () => {
    const both = { repetitionPenalty: 1.2, topK: 6, topP: 0.9, logProbs: 1 };
    const two = await generator.generate({ ...options, ...both, numReturnSequences: 2 });
    const repeated = prompts.flatMap((prompt) => [prompt, prompt]);
    const each = await generator.generate({ ...options, ...both, inputIds: repeated });
    expect(two.sequences).toEqual(each.sequences);
    expect(two.stopped).toEqual(each.stopped);
    const flat = ({ logProbs }: typeof two) => logProbs!.flat().map(({ logProb }) => logProb);
    flat(two).forEach((logProb, i) => expect(logProb).toBeCloseTo(flat(each)[i]!, 4));
  });

  it("have each token as often as its chance says, and none that is filtered out", async () => {
    const draws = 3000;
    const { sequences } = await generator.generate({
      inputIds: [prompts[0]!],
      maxNewTokens: 1,
      temperature,
      topK: 4,
      numReturnSequences: draws,
      batchSize: draws,
      seed: 11,
    });
    const likeliest = chances
      .map((chance, token) => ({ chance, token }))
      .sort((a, b) => b.chance - a.chance)
      .slice(0, 4);
    const whole = likeliest.reduce((sum, { chance }) => sum + chance, 0);
    const counts = chances.map((_, token) => sequences.filter(([first]) => first === token).length);
    let seen = 0;
    for (const { chance, token } of likeliest) {
      const mean = (draws * chance) / whole;
      seen += counts[token]!;
      expect(Math.abs(counts[token]! - mean)).toBeLessThan(4 * Math.sqrt(mean));
    }
    expect(seen).toBe(draws);
  });
});

describe("a row ends", () => {
  const row = greedy[1]!.slice(0, 20);
  const call = (options: Partial<GenerateOptions>) =>
    generator.generate({ inputIds: [prompts[1]!], maxNewTokens: 20, ...options });

  it("with a stop token, and says so", async () => {
    const stop = row[6]!;
    const { sequences, stopped } = await call({ stopTokenIds: [stop] });
    expect(sequences[0]).toEqual(row.slice(0, row.indexOf(stop) + 1));
    expect(stopped).toEqual(["stop"]);
    expect((await call({ stopTokenIds: [stop], eosTokenIds: [stop] })).stopped).toEqual(["eos"]);
  });

  it("with the token that completes a stop string", async () => {
    const whole = text(row);
    for (const string of [whole.slice(3, 6), whole.slice(9, 10), whole.slice(2, 12)]) {
      const { sequences, stopped } = await call({ stopStrings: ["0", string], tokenizer });
      expect(sequences[0]).toEqual(row.slice(0, whole.indexOf(string) + string.length));
      expect(stopped).toEqual(["stop"]);
    }
    expect((await call({ stopStrings: ["0"], tokenizer })).stopped).toEqual(["length"]);
    // What the prompt ends with does not count.
    expect((await call({ stopStrings: [`f${whole[0]!}`], tokenizer })).sequences[0]!.length).toBe(20);
  });

  it("each row of a batch by itself", async () => {
    const strings = greedy.map((tokens, i) => text(tokens.slice(4 + i, 7 + i)));
    const { sequences } = await call({ inputIds: prompts, stopStrings: strings, tokenizer });
    greedy.forEach((tokens, i) => {
      const whole = text(tokens.slice(0, 20));
      const ends = strings.map((s) => whole.indexOf(s)).filter((at) => at >= 0);
      expect(sequences[i]).toEqual(tokens.slice(0, Math.min(17, ...ends) + 3));
    });
  });
});

describe("a stream", () => {
  const options = { inputIds: prompts, maxNewTokens: 9, eosTokenIds: expected.eosTokenIds, logProbs: 0 };

  it("yields the tokens as they come and returns the whole", async () => {
    const whole = await generator.generate(options);
    const stream = generator.stream(options);
    const seen: GeneratedToken[] = [];
    let end = await stream.next();
    for (; end.done !== true; end = await stream.next()) seen.push(end.value);
    expect(end.value).toEqual(whole);
    whole.sequences.forEach((tokens, row) => {
      const own = seen.filter((token) => token.row === row);
      expect(own.map(({ token }) => token)).toEqual(tokens);
      expect(own.map(({ index }) => index)).toEqual(tokens.map((_, i) => i));
      expect(own.map(({ logProb }) => logProb)).toEqual(whole.logProbs![row]);
    });
    expect(seen.slice(0, 4).map(({ index }) => index)).toEqual([0, 0, 0, 0]);
  });

  it("frees everything when it is left", async () => {
    await generator.generate(options);
    const before = liveTensors();
    let count = 0;
    for await (const _token of generator.stream(options)) if (++count === 6) break;
    expect(count).toBe(6);
    expect(liveTensors()).toBe(before);
  });

  it("refuses wrong options at once, and beams", () => {
    expect(() => generator.stream({ ...options, maxNewTokens: 0 })).toThrow(/^maxNewTokens = 0/);
    expect(() => generator.stream({ ...options, logProbs: undefined, numBeams: 2 })).toThrow(/beam search/);
  });
});

describe("generation_config.json", () => {
  const given = model.generationConfig!;
  const withConfig = async <T>(json: JsonObject, body: () => Promise<T>): Promise<T> => {
    const read = (key: string) => (typeof json[key] === "number" ? json[key] : undefined);
    model.generationConfig = {
      ...given,
      json,
      doSample: json["do_sample"] === true ? true : undefined,
      temperature: read("temperature"),
      topK: read("top_k"),
      topP: read("top_p"),
      repetitionPenalty: read("repetition_penalty"),
      maxNewTokens: read("max_new_tokens"),
      maxLength: read("max_length"),
    };
    try {
      return await body();
    } finally {
      model.generationConfig = given;
    }
  };
  const call = async (options: Partial<GenerateOptions> = {}) =>
    (await generator.generate({ inputIds: [prompts[2]!], maxNewTokens: 10, ...options })).sequences[0]!;
  const plain = greedy[2]!.slice(0, 10);

  it("gives the defaults of sampling where it asks for it", async () => {
    const sampling = { temperature: 1.5, topK: 3, topP: 0.95, minP: 0.05, repetitionPenalty: 1.1 };
    const wanted = await call(sampling);
    expect(wanted).not.toEqual(plain);
    const json = {
      do_sample: true,
      temperature: 1.5,
      top_k: 3,
      top_p: 0.95,
      min_p: 0.05,
      repetition_penalty: 1.1,
      max_new_tokens: 10,
    };
    await withConfig(json, async () => {
      expect(await call({ maxNewTokens: undefined })).toEqual(wanted);
      expect(await call({ useGenerationConfig: false })).toEqual(plain);
      expect(await call({ temperature: 0, repetitionPenalty: 1 })).toEqual(plain);
    });
    // Without do_sample the filters do nothing, as in transformers.
    await withConfig({ temperature: 1.5, top_k: 3 }, async () => expect(await call()).toEqual(plain));
  });

  it("gives the longest row, and beams", async () => {
    await withConfig({ max_length: prompts[2]!.length + 4 }, async () =>
      expect(await call({ maxNewTokens: undefined })).toEqual(plain.slice(0, 4)),
    );
    const beams = await call({ numBeams: 3, lengthPenalty: 2 });
    await withConfig({ num_beams: 3, length_penalty: 2 }, async () => expect(await call()).toEqual(beams));
  });

  it("is refused where it asks for what is not there", async () => {
    await withConfig({ no_repeat_ngram_size: 3 }, async () => {
      await expect(call()).rejects.toThrow(
        /^generation_config.json, no_repeat_ngram_size = 3: is not supported.*useGenerationConfig: false/,
      );
      expect(await call({ useGenerationConfig: false })).toEqual(plain);
    });
    await withConfig({ no_repeat_ngram_size: 0, typical_p: 0.5, suppress_tokens: [] }, async () => {
      expect(await call()).toEqual(plain);
      await expect(call({ temperature: 1 })).rejects.toThrow(/typical_p = 0.5/);
    });
    await expect(call({ maxNewTokens: undefined })).rejects.toThrow(/^maxNewTokens: is missing/);
  });
});
