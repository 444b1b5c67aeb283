/** @file What bad input to GRPOTrainer gets: an error that names it, or behaviour that is defined. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import { AutoModelForCausalLM, AutoModelForSequenceClassification } from "../../../src/models/index.js";
import { AutoTokenizer } from "../../../src/text/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import {
  GRPOConfig,
  GRPOTrainer,
  rewardModel,
  type GRPOOptions,
  type GRPOTrainerOptions,
  type RewardInput,
  type SampledCompletion,
} from "../../../src/trainers/index.js";
import { camelCaseKeys, TrainingInterrupted } from "../../../src/training/index.js";
import { makeModel } from "../tiny_model.js";
import { modelFolder, readLog, temporaryFolders, tinyModel } from "../training/tiny.js";
import { lowTokens, tinyPrompts } from "./rl_tiny.js";

const newFolder = temporaryFolders();
let before = 0;
beforeAll(async () => {
  await loadTorch();
  before = liveTensors();
});
afterAll(() => expect(liveTensors()).toBe(before));

const common: GRPOOptions = {
  perDeviceTrainBatchSize: 4,
  numGenerations: 4,
  maxCompletionLength: 4,
  maxSteps: 1,
  loggingSteps: 1,
  saveStrategy: "no",
  disableTqdm: true,
};

/** The message with which a run ends, what it notices and logs, and whether its folder stayed empty. */
async function outcome(
  options: GRPOOptions | Record<string, unknown>,
  more: Partial<GRPOTrainerOptions> = {},
) {
  const outputDir = newFolder();
  const notices: string[] = [];
  const model = await tinyModel();
  const message = await (async () => {
    const args = new GRPOConfig({ ...common, ...camelCaseKeys({ ...options }), outputDir });
    const callbacks = [{ onNotice: (notice: string) => notices.push(notice) }];
    const base = { model, trainDataset: tinyPrompts(4), rewardFuncs: lowTokens, args, callbacks };
    await new GRPOTrainer({ ...base, ...more }).train();
  })().then(
    () => "it ran",
    (error: unknown) =>
      error instanceof CraftError
        ? error.message
        : `not one of ours: ${error instanceof Error ? error.stack : String(error)}`,
  );
  model.dispose();
  const files = existsSync(outputDir) ? readdirSync(outputDir) : [];
  return { message, notices, files, log: message === "it ran" ? readLog(outputDir) : [] };
}

describe("options", () => {
  it.each<[string, Record<string, unknown>, string]>([
    [
      "a group of one",
      { num_generations: 1 },
      "num_generations = 1: must be 2 or more: an answer is judged by the others",
    ],
    [
      "groups that are not whole",
      { num_generations: 3 },
      "num_generations = 3: does not divide the 4 completions that are made at a time",
    ],
    [
      "two numbers for one thing",
      { generation_batch_size: 8, steps_per_generation: 2 },
      "generation_batch_size = 8: says the same as steps_per_generation",
    ],
    [
      "a rollout that is no multiple",
      { generation_batch_size: 6 },
      "generation_batch_size = 6: is no multiple of per_device_train_batch_size = 4.",
    ],
    [
      "cispo without a cap",
      { loss_type: "cispo" },
      "epsilon_high: is not given, and is the greatest ratio of cispo.",
    ],
    [
      "an option of another loss",
      { delta: 2, loss_type: "sapo" },
      "delta = 2: has no effect: loss_type is sapo.",
    ],
    [
      "sapo's temperature for another loss",
      { sapo_temperature_pos: 2 },
      "sapo_temperature_pos = 2: has no effect: loss_type is dapo.",
    ],
    [
      "an adaptive option alone",
      { entropy_target: 1 },
      "entropy_target = 1: has no effect: use_adaptive_entropy is not set.",
    ],
    [
      "lengths that prompts do not group by",
      { group_by_length: true },
      "group_by_length = true: has no effect: prompts come in whole rollouts",
    ],
    ["a greedy temperature", { temperature: 0 }, "temperature = 0: "],
    [
      "an unknown one",
      { num_generation: 2 },
      "GRPOConfig, option num_generation: there is no such option. Did you mean num_generations",
    ],
    [
      "evaluation batches that are no groups",
      { eval_strategy: "steps", per_device_eval_batch_size: 6 },
      "per_device_eval_batch_size = 6: is no multiple of the 4 completions of a prompt.",
    ],
  ])("%s", async (_, options, message) => {
    const found = await outcome(options);
    expect(found.message).toContain(message);
    expect(found.files).toEqual([]);
  });
});

describe("prompts", () => {
  it.each<[string, readonly object[], GRPOOptions, string]>([
    [
      "none",
      [{ question: "q" }],
      {},
      'train_dataset, row 0: has no column "prompt"; its columns are "question".',
    ],
    [
      "text without a tokenizer",
      [{ prompt: "q" }],
      {},
      "tokenizer: is not given, and the prompt of train_dataset, row 0 is text.",
    ],
    ["without a token", [{ input_ids: [] }], {}, "train_dataset, row 0, column input_ids: the row is empty"],
    [
      "a token that the model lacks",
      [{ input_ids: [5] }, { input_ids: [48] }],
      {},
      "train_dataset, row 1, column prompt, place 0 = 48: the model's vocabulary has the tokens 0 to 47.",
    ],
    [
      "too long for the model",
      [{ input_ids: new Array<number>(61).fill(5) }],
      {},
      "train_dataset, row 0, column prompt = 61 tokens: with max_completion_length = 4 that is more than the 64 positions of the model.",
    ],
    [
      "fewer than a rollout takes",
      tinyPrompts(1),
      { perDeviceTrainBatchSize: 8 },
      "train_dataset = 1 prompts: a rollout takes 2.",
    ],
  ])("%s", async (_, trainDataset, options, message) => {
    const found = await outcome(options, { trainDataset });
    expect(found.message).toContain(message);
    expect(found.files).toEqual([]);
  });

  it("that are longer than their limit are cut to their end, and that is told", async () => {
    const seen: (readonly number[])[] = [];
    const found = await outcome(
      { maxPromptLength: 3 },
      {
        trainDataset: [{ input_ids: new Array<number>(70).fill(0).map((_, i) => 3 + (i % 40)) }],
        rewardFuncs: {
          name: "seen",
          score: ({ promptIds }) => {
            seen.push(...promptIds);
            return promptIds.map(() => 0);
          },
        },
      },
    );
    expect(found.message).toBe("it ran");
    expect(seen[0]).toEqual([30, 31, 32]);
    expect(found.notices[0]).toContain("train_dataset: 1 row");
  });
});

describe("completions", () => {
  const sampler =
    (one: Partial<SampledCompletion>) =>
    ({ prompts, copies }: { readonly prompts: readonly unknown[]; readonly copies: number }) =>
      Promise.resolve(
        Array.from({ length: prompts.length * copies }, (_, i): SampledCompletion => ({
          ids: [5 + i, 2],
          stopped: "eos",
          ...one,
        })),
      );

  it("that are empty are refused", async () => {
    const { message } = await outcome({}, { sampler: sampler({ ids: [] }) });
    expect(message).toContain("sampler, completion 0 (train_dataset, row");
    expect(message).toContain("is empty: it has no token, not even one that ends it.");
  });

  it("that come with other numbers of log-probabilities, or too few, are refused", async () => {
    expect((await outcome({}, { sampler: sampler({ logProbs: [-1] }) })).message).toContain(
      "must be as many as its 2 tokens",
    );
    expect((await outcome({}, { sampler: () => Promise.resolve([]) })).message).toContain(
      "sampler = 0 completions: must give 4 of each of the 1 prompts.",
    );
  });

  it("of an end token alone are judged as empty texts", async () => {
    const found = await outcome({}, { sampler: sampler({ ids: [2] }) });
    expect(found.message).toBe("it ran");
    expect(found.log[0]).toMatchObject({ loss: 0, grad_norm: 0, frac_reward_zero_std: 1 });
  });

  it("that were all cut off teach nothing where such are masked", async () => {
    const found = await outcome(
      { maskTruncatedCompletions: true },
      {
        sampler: sampler({ stopped: "length" }),
        rewardFuncs: { name: "first", score: ({ completionIds }) => completionIds.map(([id]) => id!) },
      },
    );
    expect(found.message).toBe("it ran");
    expect(found.log[0]).toMatchObject({ loss: 0, grad_norm: 0, "completions/clipped_ratio": 1 });
  });
});

describe("a padding token that is the end token", () => {
  it("changes nothing, as completions are lists and end where they end", async () => {
    const folder = newFolder();
    mkdirSync(folder);
    await makeModel(folder);
    const tokenizer = await AutoTokenizer.fromPretrained(folder);
    const run = async (padTokenId: number | undefined) => {
      const model = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });
      const padded = Object.create(tokenizer, { padTokenId: { value: padTokenId } }) as typeof tokenizer;
      const outputDir = newFolder();
      const short = ({ texts }: RewardInput): number[] => texts.map(({ length }) => -length);
      await new GRPOTrainer({
        model,
        tokenizer: Object.assign(padded, {
          encode: tokenizer.encode.bind(tokenizer),
          decode: tokenizer.decode.bind(tokenizer),
          save: tokenizer.save.bind(tokenizer),
        }),
        trainDataset: [{ prompt: "Hello" }, { prompt: "How do you do" }],
        rewardFuncs: short,
        args: new GRPOConfig({ ...common, maxSteps: 2, learningRate: 1e-3, outputDir }),
      }).train();
      model.dispose();
      return readLog(outputDir).map(({ loss, grad_norm: norm, reward }) => [loss, norm, reward]);
    };
    const found = await run(tokenizer.eosTokenId);
    expect(found).toEqual(await run(5));
    expect(found[0]![1]).toBeGreaterThan(0);
  });
});

describe("divergence from a reference", () => {
  it("is from a copy where the model is trained whole and came from no folder", async () => {
    const model = await tinyModel();
    model.nameOrPath = undefined;
    const found = await outcome({ beta: 0.1, maxSteps: 2, learningRate: 1e-2 }, { model });
    expect(found.message).toBe("it ran");
    expect(found.log[0]!["kl"]).toBeCloseTo(0, 6);
    expect(found.log[1]!["kl"]).toBeGreaterThan(1e-4);
    model.dispose();
  });

  it("must have the model's vocabulary", async () => {
    const folder = newFolder();
    mkdirSync(folder);
    await makeModel(folder);
    const { message } = await outcome({ beta: 0.1 }, { refModel: folder });
    expect(message).toContain("refModel = 640 tokens: has another vocabulary than the model, which has 48.");
  });

  it("is 0 at first, from the same model as a reference", async () => {
    const found = await outcome({ beta: 0.1, dtype: "float32" }, { refModel: modelFolder });
    expect(found.message).toBe("it ran");
    expect(found.log[0]!["kl"]).toBeCloseTo(0, 6);
  });
});

describe("reward models", () => {
  it("give the score of prompt and completion; with another vocabulary they need their tokenizer", async () => {
    const folder = newFolder();
    mkdirSync(folder);
    await makeModel(folder);
    const own = await AutoModelForSequenceClassification.fromPretrained(modelFolder, {
      dtype: "float32",
      seed: 4,
    });
    const other = await AutoModelForSequenceClassification.fromPretrained(folder, { dtype: "float32" });
    const many = await AutoModelForSequenceClassification.fromPretrained(folder, {
      dtype: "float32",
      numLabels: 3,
    });
    const judged: { readonly given: number; readonly rows: readonly number[] }[] = [];
    const scores = rewardModel(own, { name: "scores" });
    const found = await outcome(
      {},
      {
        rewardFuncs: {
          name: "scores",
          score: async (input) => {
            const given = await scores.score(input);
            given.forEach((value, i) =>
              judged.push({ given: value!, rows: [...input.promptIds[i]!, ...input.completionIds[i]!] }),
            );
            return given;
          },
        },
      },
    );
    expect(found.message).toBe("it ran");
    const alone = await own.predict(judged.map(({ rows }) => rows));
    judged.forEach(({ given }, i) => expect(given).toBeCloseTo(alone[i]![0]!, 4));
    expect(found.log[0]!["rewards/scores/std"]).toBeGreaterThan(0);

    expect(() => rewardModel(many, { name: "many" })).toThrow(
      "reward many = 3 labels: a reward model has one label.",
    );
    const stopped = await outcome({}, { rewardFuncs: rewardModel(other, { name: "other" }) });
    expect(stopped.notices.join("\n")).toContain(
      "reward other = 640 tokens: has another vocabulary than the policy, which has 48, and no tokenizer of its own.",
    );
    for (const model of [own, other, many]) model.dispose();
  });
});

describe("rewards that fail for good", () => {
  it("stop the run with a checkpoint, from which it goes on when they work again", async () => {
    const outputDir = newFolder();
    let calls = 0;
    const flaky = (working: boolean) => ({
      name: "flaky",
      score: ({ completionIds }: RewardInput) => {
        if (!working && calls++ > 5) throw new Error("no connection");
        return completionIds.map(([id]) => id! % 5);
      },
    });
    const run = async (working: boolean, resumeFromCheckpoint: boolean) => {
      const model = await tinyModel();
      const args = new GRPOConfig({
        ...common,
        maxSteps: 20,
        outputDir,
        saveStrategy: "steps",
        saveSteps: 100,
        resumeFromCheckpoint,
      });
      const trainer = new GRPOTrainer({
        model,
        trainDataset: tinyPrompts(4),
        rewardFuncs: flaky(working),
        args,
      });
      try {
        return await trainer.train();
      } finally {
        model.dispose();
      }
    };
    const error: unknown = await run(false, false).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TrainingInterrupted);
    expect((error as TrainingInterrupted).message).toMatch(
      /was stopped after step 8, and all of it is in .*checkpoint-8; rewards: for failures no completion of the last 3 batches has got any: reward flaky: throws: no connection/,
    );
    expect(existsSync(join(outputDir, "checkpoint-8", "run_state.json"))).toBe(true);
    expect((await run(true, true)).globalStep).toBe(20);
  });
});
