/** @file What transformers makes of logits, and finds by beams and under a penalty, on the same logits and the same model. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { TokenGenerator, type GenerateOptions } from "../../../src/generation/index.js";
import { filter, penalise } from "../../../src/generation/processors.js";
import { compile, HostTensor, ones, tensor, zeros, type Tensor } from "../../../src/tensor/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { largestDifference } from "../fixtures.js";
import { loadModel } from "./fixture.js";

interface Setting {
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
}

interface Decoding {
  readonly prompts: number[][];
  readonly logits: number[][];
  readonly seen: number[][];
  readonly processed: { setting: Setting; chances: number[][] }[];
  readonly penalised: {
    repetitionPenalty: number;
    sequences: number[][];
    logProbs: number[][];
    top: [number, number][][][];
  };
  readonly beams: {
    setting: {
      num_beams: number;
      num_return_sequences?: number;
      length_penalty?: number;
      early_stopping?: boolean | "never";
      repetition_penalty?: number;
    };
    maxNewTokens: number;
    eosTokenIds: number[];
    sequences: number[][];
    scores: number[];
  }[];
}

const expected = JSON.parse(
  readFileSync(new URL("../../fixtures/generation/decoding.json", import.meta.url), "utf8"),
) as Decoding;
const model = await loadModel();
const generator = new TokenGenerator(model);
afterAll(() => generator.dispose());

describe("logits processors are transformers'", () => {
  it.each(expected.processed.map((given) => [JSON.stringify(given.setting), given] as const))(
    "%s",
    async (_name, { setting, chances }) => {
      const { temperature = 1, topK = 0, topP, minP, repetitionPenalty } = setting;
      const scalar = (value: number | undefined) =>
        value === undefined ? undefined : new HostTensor([value], [], "float64");
      const program = compile(
        (
          logits: Tensor,
          seen: Tensor,
          heat: Tensor,
          p: Tensor | undefined,
          least: Tensor | undefined,
          penalty: Tensor | undefined,
        ) => {
          const counts = zeros(logits.shape, "int32").scatterAdd(1, seen, ones(seen.shape, "int32"));
          const scores = penalty === undefined ? logits : penalise(logits, counts, penalty);
          return filter(scores.to("float64"), { temperature: heat, topK, topP: p, minP: least }).softmax(-1);
        },
      );
      using result = await program(
        tensor(expected.logits),
        tensor(expected.seen, "int64"),
        scalar(temperature)!,
        scalar(topP),
        scalar(minP),
        repetitionPenalty === undefined ? undefined : new HostTensor([repetitionPenalty], [], "float32"),
      );
      const found = result.toNumbers();
      expect(found.map((chance) => chance > 0)).toEqual(chances.flat().map((chance) => chance > 0));
      expect(largestDifference(found, chances.flat())).toBeLessThan(1e-6);
      program.dispose();
    },
  );
});

describe("a repetition penalty", () => {
  const { repetitionPenalty, sequences, logProbs, top } = expected.penalised;

  it("gives transformers' greedy tokens and their log-probabilities, in a padded batch too", async () => {
    const found = await generator.generate({
      inputIds: expected.prompts,
      maxNewTokens: 25,
      repetitionPenalty,
      logProbs: 3,
    });
    expect(found.sequences).toEqual(sequences);
    const chosen = found.logProbs!.flatMap((row) => row.map(({ logProb }) => logProb));
    expect(largestDifference(chosen, logProbs.flat())).toBeLessThan(1e-4);
    const likeliest = found.logProbs!.flatMap((row) => row.flatMap((place) => place.top));
    expect(likeliest.map(({ token }) => token)).toEqual(top.flat(2).map(([token]) => token));
    expect(
      largestDifference(
        likeliest.map(({ logProb }) => logProb),
        top.flat(2).map(([, logProb]) => logProb),
      ),
    ).toBeLessThan(1e-4);
  });

  it("tells the log-probability of the chosen token alone for 0", async () => {
    const options = {
      inputIds: expected.prompts.slice(0, 1),
      maxNewTokens: 3,
      repetitionPenalty,
      logProbs: 0,
    };
    const { logProbs: found } = await generator.generate(options);
    expect(found![0]!.map(({ top: likeliest }) => likeliest)).toEqual([[], [], []]);
    expect(found![0]![2]!.logProb).toBeCloseTo(logProbs[0]![2]!, 4);
  });
});

describe("log-probabilities at a temperature", () => {
  it("are those of the logits over it", async () => {
    const options = { inputIds: expected.prompts.slice(0, 2), maxNewTokens: 2, logProbs: 5 };
    const plain = await generator.generate({ ...options, logProbs: model.shape.vocabSize });
    const warm = await generator.generate({ ...options, logProbsTemperature: 2.5 });
    expect(warm.sequences).toEqual(plain.sequences);
    for (const [row, places] of warm.logProbs!.entries())
      for (const [place, { logProb, top }] of places.entries()) {
        const all = plain.logProbs![row]![place]!;
        const total = Math.log(all.top.reduce((sum, each) => sum + Math.exp(each.logProb / 2.5), 0));
        expect(logProb).toBeCloseTo(all.logProb / 2.5 - total, 4);
        expect(top[4]!.logProb).toBeCloseTo(all.top[4]!.logProb / 2.5 - total, 4);
      }
    await expect(generator.generate({ ...options, logProbsTemperature: 0 })).rejects.toThrow(
      "logProbsTemperature = 0",
    );
  });
});

describe("beam search finds what transformers finds", () => {
  it.each(
    expected.beams.map(
      (given) =>
        [
          `${JSON.stringify(given.setting)}, ${given.maxNewTokens}, [${given.eosTokenIds.join()}]`,
          given,
        ] as const,
    ),
  )("%s", async (_name, { setting, maxNewTokens, eosTokenIds, sequences, scores }) => {
    const options: GenerateOptions = {
      inputIds: expected.prompts,
      maxNewTokens,
      eosTokenIds,
      numBeams: setting.num_beams,
      numReturnSequences: setting.num_return_sequences,
      lengthPenalty: setting.length_penalty,
      earlyStopping: setting.early_stopping,
      repetitionPenalty: setting.repetition_penalty,
    };
    const found = await generator.generate(options);
    expect(found.sequences).toEqual(sequences);
    found.scores!.forEach((score, i) => expect(score / scores[i]!).toBeCloseTo(1, 4));
    found.sequences.forEach((row, i) =>
      expect(found.stopped[i]).toBe(eosTokenIds.includes(row.at(-1)!) ? "eos" : "length"),
    );
  });

  it("in any batch, and frees what it used", async () => {
    const given = expected.beams.find(({ setting }) => setting.num_return_sequences === 3)!;
    const options = {
      inputIds: expected.prompts,
      maxNewTokens: given.maxNewTokens,
      eosTokenIds: given.eosTokenIds,
      numBeams: given.setting.num_beams,
      numReturnSequences: 3,
    };
    for (const batchSize of [1, 8]) {
      const counts: number[] = [];
      for (let i = 0; i < 2; i++) {
        expect((await generator.generate({ ...options, batchSize })).sequences).toEqual(given.sequences);
        counts.push(liveTensors());
      }
      expect(counts[1]).toBe(counts[0]);
    }
  });

  it("over more columns than the cache has at first", async () => {
    const options = { inputIds: [[5], [3, 17, 9]], maxNewTokens: 150, eosTokenIds: [], numBeams: 2 };
    const whole = await generator.generate(options);
    expect(whole.sequences.map(({ length }) => length)).toEqual([150, 150]);
    // The score is the model's own of what it found.
    const [greedy] = (await generator.generate({ ...options, inputIds: [[5]], numBeams: 1, logProbs: 0 }))
      .logProbs!;
    const sum = greedy!.reduce((total, { logProb }) => total + logProb, 0);
    expect(whole.scores![0]!).toBeGreaterThan(sum / 150 - 1e-4);
  });
});
