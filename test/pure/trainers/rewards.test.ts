/** @file Rewards that are built in, and what failing ones cost. Expected numbers are derived by hand. */
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { CausalLM } from "../../../src/models/index.js";
import { lastNumber } from "../../../src/trainers/rewards/answers.js";
import {
  exactAnswer,
  formatReward,
  jsonSchemaReward,
  lengthReward,
  numericAnswer,
  softOverlongPunishment,
  type NamedReward,
  type Reward,
  type RewardInput,
} from "../../../src/trainers/index.js";
import { namedRewards } from "../../../src/trainers/rewards/reward.js";
import { RewardScorer } from "../../../src/trainers/rewards/scorer.js";

/** Completions as rewards see them; no reward here looks into the policy. */
function input(
  texts: readonly string[],
  columns: Readonly<Record<string, readonly unknown[]>> = {},
): RewardInput {
  const ids = texts.map((text) => Array.from({ length: text.split(" ").length }, (_, i) => i));
  return {
    prompts: texts.map(() => "question"),
    completions: texts,
    texts,
    promptIds: texts.map(() => [1]),
    completionIds: ids,
    columns,
    where: texts.map((_, i) => `train_dataset, row ${i}`),
    trainerState: undefined,
    policy: { model: undefined as unknown as CausalLM, tokenizer: { decode: () => "" } as never },
    signal: new AbortController().signal,
    logExtra: () => undefined,
    logMetric: () => undefined,
  };
}

const scores = (reward: NamedReward, of: RewardInput) => reward.score(of);

describe("answers", () => {
  it("are exact apart from white space and case; rows without one are not judged", () => {
    const of = input([" Paris\n", "paris", "Lyon", "x"], { answer: ["Paris", "Paris", "Paris", null] });
    expect(scores(exactAnswer(), of)).toEqual([1, 1, 0, null]);
    expect(scores(exactAnswer({ caseSensitive: true }), of)).toEqual([1, 0, 0, null]);
  });

  it("are found by a pattern, whose last match counts", () => {
    const of = input(["#### 4 no: #### 5", "five", "####  5 "], { right: ["5", "5", "5"] });
    expect(scores(exactAnswer({ column: "right", extract: "####\\s*(\\S+)" }), of)).toEqual([1, 0, 1]);
  });

  it.each<[string, number | undefined]>([
    ["the answer is 42.", 42],
    ["-3 or -1,234.5", -1234.5],
    ["3/4", 0.75],
    ["12 %", 0.12],
    ["1e3 then 2.5e-2", 0.025],
    [".5", 0.5],
    ["10,000", 10000],
    ["x1 = v2", undefined],
    ["none", undefined],
    ["1/0", undefined],
  ])("the last number of %j is %j", (text, value) => {
    if (value === undefined) expect(lastNumber(text)).toBeUndefined();
    else expect(lastNumber(text)).toBeCloseTo(value, 12);
  });

  it("are numbers within a tolerance", () => {
    const of = input(["It is 1,000", "999", "about 0.5", "no"], { answer: [1000, "1000", "1/2", "word"] });
    expect(scores(numericAnswer(), of)).toEqual([1, 0, 1, null]);
    expect(scores(numericAnswer({ tolerance: 0.01 }), of)).toEqual([1, 1, 1, null]);
  });

  it("name the columns that there are, where theirs is missing", () => {
    expect(() => scores(exactAnswer(), input(["a"], { solution: ["a"] }))).toThrow(
      "reward exact_answer, column = answer: is not in the dataset, whose columns are solution.",
    );
  });
});

describe("the form of a completion", () => {
  it("matches a pattern; thoughts and an answer by default", () => {
    const of = input(["<think>so</think>yes", "<think>a<think></think>b", "yes", "<think>\n</think>\nb"]);
    expect(scores(formatReward(), of)).toEqual([1, 0, 0, 1]);
    expect(scores(formatReward({ pattern: "^y" }), of)).toEqual([0, 0, 1, 0]);
    expect(() => formatReward({ pattern: "(" })).toThrow(
      /^reward format, pattern = \(: is no regular expression/,
    );
  });

  it("has a length between limits, with a margin", () => {
    const of = input(["a b c d", "a b", "a b c d e f", "a b c d e f g h"]);
    expect(scores(lengthReward({ min: 3, max: 5 }), of)).toEqual([1, 0, 0, 0]);
    expect(scores(lengthReward({ min: 3, max: 5, margin: 2, unit: "words" }), of)).toEqual([1, 0.5, 0.5, 0]);
    expect(scores(lengthReward({ max: 7, unit: "characters" }), of)).toEqual([1, 1, 0, 0]);
    expect(() => lengthReward({ min: 3, max: 2 })).toThrow("max not below min");
  });

  it("is punished for its last tokens, as in TRL", () => {
    const reward = softOverlongPunishment({ maxCompletionLength: 100, softPunishCache: 20 });
    const words = (n: number): string => new Array<string>(n).fill("a").join(" ");
    expect(scores(reward, input([80, 90, 100, 101].map(words)))).toEqual([0, -0.5, -1, -1]);
  });

  it("is JSON by a schema, in a code block too", () => {
    const schema = {
      type: "object",
      required: ["n"],
      properties: {
        n: { type: "integer", minimum: 1 },
        tags: { type: "array", items: { enum: ["a", "b"] } },
      },
      additionalProperties: false,
    };
    const of = input([
      '{"n": 1}',
      'So:\n```json\n{"n": 2, "tags": ["a"]}\n```',
      '{"n": 0}',
      '{"n": 1, "m": 2}',
      "{",
    ]);
    expect(scores(jsonSchemaReward({ schema }), of)).toEqual([1, 1, 0, 0, 0]);
    expect(scores(jsonSchemaReward({ schema, parseable: 0.2 }), of)).toEqual([1, 1, 0.2, 0.2, 0]);
    expect(scores(jsonSchemaReward(), of)).toEqual([1, 1, 1, 1, 0]);
    const own = input(["1", '"x"', "2"], { shape: [{ type: "string" }, '{"type": "string"}', null] });
    expect(scores(jsonSchemaReward({ column: "shape" }), own)).toEqual([0, 1, null]);
    expect(() => jsonSchemaReward({ schema: { type: "thing" } })).toThrow(/^reward json_schema, schema/);
  });
});

describe("lists of rewards", () => {
  const even = (): number[] => [];
  it.each<[string, Reward | readonly Reward[], readonly number[] | undefined, string]>([
    ["none", [], undefined, "rewardFuncs: is empty"],
    ["a function without a name", [() => []], undefined, "rewardFuncs[0]: is a function without a name"],
    ["two of one name", [even, even], undefined, "rewardFuncs = even: is the name of two rewards"],
    ["other weights", [even], [1, 2], "reward_weights = [1,2]: must be one for each of the 1 rewards."],
    [
      "what is none",
      [{ name: "x" } as unknown as Reward],
      undefined,
      'rewardFuncs[0] = {"name":"x"}: is no reward.',
    ],
  ])("refused: %s", (_, rewards, weights, message) => {
    expect(() => namedRewards(rewards, weights)).toThrow(message);
  });
});

describe("rewards that fail", () => {
  const scorer = (rewards: readonly NamedReward[], notices: string[] = [], timeLimit = 5) =>
    new RewardScorer({ rewards, timeLimit, notice: (text) => notices.push(text) });
  const good: NamedReward = { name: "good", score: ({ texts }) => texts.map((text) => text.length) };

  it("cost the completions at which they throw, and are told by name and example", async () => {
    const notices: string[] = [];
    const picky: NamedReward = {
      name: "picky",
      score: ({ texts }) =>
        texts.map((text) => {
          if (text === "bad") throw new Error("cannot read it");
          return 1;
        }),
    };
    const judge = scorer([good, picky], notices);
    const found = await judge.score(input(["fine", "bad", "fine"]));
    expect(found).toEqual({
      rewards: [
        [4, 1],
        [3, null],
        [4, 1],
      ],
      failures: { good: 0, picky: 1 },
    });
    await judge.score(input(["bad"]));
    expect(notices).toEqual([
      'reward picky throws: cannot read it (train_dataset, row 1, completion "bad"); such rewards are left out, and counted in rewards/picky/failures',
    ]);
  });

  it.each<[string, NamedReward["score"], (number | null)[], string]>([
    ["NaN", () => [1, NaN], [1, null], "returned NaN, which is no finite number (train_dataset, row 1"],
    ["a text", () => [1, "2" as unknown as number], [1, null], "returned 2, which is no finite number"],
    ["too few", () => [1], [null, null], "returned 1 rewards for 2 completions"],
    [
      "no list",
      () => undefined as unknown as number[],
      [null, null],
      "returned no list of rewards for 2 completions",
    ],
    ["a rejection", () => Promise.reject(new Error("offline")), [null, null], "throws: offline"],
    ["a rejection without an error", () => Promise.reject(new TypeError()), [null, null], "throws: "],
  ])("%s", async (_, score, expected, notice) => {
    const notices: string[] = [];
    const found = await scorer([good, { name: "poor", score }], notices).score(input(["a", "b"]));
    expect(found.rewards.map(([, value]) => value)).toEqual(expected);
    expect(notices[0]).toContain(`reward poor ${notice}`);
  });

  it("are given up after their time, and told to stop", async () => {
    const notices: string[] = [];
    let aborted = false;
    const slow: NamedReward = {
      name: "slow",
      score: async ({ signal, texts }) => {
        signal.addEventListener("abort", () => (aborted = true));
        await wait(10_000, undefined, { ref: false });
        return texts.map(() => 1);
      },
    };
    const began = performance.now();
    const found = await scorer([slow, good], notices, 0.05).score(input(["a", "b"]));
    expect(performance.now() - began).toBeLessThan(3000);
    expect(found).toEqual({
      rewards: [
        [null, 1],
        [null, 1],
      ],
      failures: { slow: 2, good: 0 },
    });
    expect(aborted).toBe(true);
    expect(notices[0]).toContain("reward slow was not done after 0.05 s");
  });

  it("run at the same time where they are asynchronous", async () => {
    const slow = (name: string): NamedReward => ({
      name,
      score: async ({ texts }) => {
        await wait(150);
        return texts.map(() => 1);
      },
    });
    const began = performance.now();
    await scorer([slow("a"), slow("b"), slow("c")]).score(input(["x"]));
    expect(performance.now() - began).toBeLessThan(400);
  });

  it("end the run where nothing else has been left of three batches; one good batch between begins anew", async () => {
    let broken = true;
    const flaky: NamedReward = {
      name: "flaky",
      score: ({ texts }) => {
        if (broken) throw new Error("gone");
        return texts.map(() => 0);
      },
    };
    const judge = scorer([flaky]);
    const batch = input(["a", "b"]);
    await judge.score(batch);
    await judge.score(batch);
    broken = false;
    await judge.score(batch);
    broken = true;
    await judge.score(batch);
    await judge.score(batch);
    await expect(judge.score(batch)).rejects.toThrow(
      'rewards: for failures no completion of the last 3 batches has got any: reward flaky: throws: gone (train_dataset, row 1, completion "b").',
    );
  });

  it("are none where no function applies", async () => {
    const judge = scorer([{ name: "never", score: ({ texts }) => texts.map(() => null) }]);
    for (let i = 0; i < 5; i++) expect((await judge.score(input(["a"]))).failures).toEqual({ never: 0 });
  });
});
