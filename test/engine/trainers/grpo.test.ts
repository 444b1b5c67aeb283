/** @file GRPO with the policy's own completions: what it learns, what it does not depend on, and runs that go on. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadDataset } from "../../../src/data/index.js";
import { LoraModel } from "../../../src/peft/lora.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import {
  GRPOConfig,
  GRPOTrainer,
  type GRPOOptions,
  type GRPOTrainerOptions,
  type RewardInput,
} from "../../../src/trainers/index.js";
import { TrainingInterrupted } from "../../../src/training/index.js";
import { numbersOf, readLog, temporaryFolders, tinyModel, withoutTimes } from "../training/tiny.js";
import { lowTokens, tinyPrompts } from "./rl_tiny.js";

const newFolder = temporaryFolders();
let before = 0;
beforeAll(async () => {
  await loadTorch();
  before = liveTensors();
});
afterAll(() => expect(liveTensors()).toBe(before));

const lora = { r: 4, targetModules: ["q_proj", "k_proj", "v_proj", "o_proj"] };
const common: GRPOOptions = {
  perDeviceTrainBatchSize: 8,
  numGenerations: 4,
  maxCompletionLength: 6,
  maxSteps: 4,
  learningRate: 1e-2,
  loggingSteps: 1,
  saveStrategy: "no",
  disableTqdm: true,
};

async function train(options: GRPOOptions, more: Partial<GRPOTrainerOptions> = {}) {
  const outputDir = options.outputDir ?? newFolder();
  const model = await tinyModel();
  try {
    const trainer = new GRPOTrainer({
      model,
      peftConfig: lora,
      trainDataset: tinyPrompts(6),
      rewardFuncs: lowTokens,
      args: new GRPOConfig({ ...common, ...options, outputDir }),
      ...more,
    });
    await trainer.train();
    const weights = numbersOf(trainer.lora?.namedParameters() ?? model.namedParameters());
    return { log: readLog(outputDir), weights, outputDir };
  } finally {
    model.dispose();
  }
}

describe("learning", () => {
  it("raises the reward", async () => {
    const { log } = await train(
      { maxSteps: 24, perDeviceTrainBatchSize: 16, learningRate: 3e-2 },
      { peftConfig: undefined },
    );
    const mean = (part: typeof log): number =>
      part.reduce((sum, entry) => sum + entry["reward"]!, 0) / part.length;
    const rewards = log.filter((entry) => "reward" in entry);
    expect(mean(rewards.slice(0, 2))).toBeLessThan(0.7);
    expect(mean(rewards.slice(-2))).toBeGreaterThan(0.9);
  });

  it("does nothing where all rewards are equal, and says so", async () => {
    const { log, weights } = await train(
      { maxSteps: 2, beta: 0 },
      { rewardFuncs: { name: "same", score: ({ completionIds }) => completionIds.map(() => 0.1) } },
    );
    expect(log.map((entry) => [entry["loss"], entry["grad_norm"], entry["frac_reward_zero_std"]])).toEqual([
      [0, 0, 1],
      [0, 0, 1],
    ]);
    expect([...weights.values()].flat().every(Number.isFinite)).toBe(true);
  });
});

describe("the same run", () => {
  it.each<[string, GRPOOptions, GRPOOptions]>([
    ["in micro-batches of any size", {}, { perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 4 }],
    [
      "in micro-batches of any size, by completions",
      { lossType: "grpo", beta: 0.1 },
      { lossType: "grpo", beta: 0.1, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 8 },
    ],
    ["with completions made a few at a time", {}, { rolloutBatchSize: 4 }],
    [
      "with the old policy's log-probabilities computed anew",
      { numIterations: 2 },
      { numIterations: 2, recomputeLogProbs: true },
    ],
  ])("%s", async (_, one, other) => {
    const [a, b] = [await train(one), await train(other)];
    for (const [i, entry] of a.log.entries())
      for (const name of ["loss", "grad_norm", "reward"])
        if (entry[name] !== undefined)
          expect(b.log[i]![name], `${name} of step ${i + 1}`).toBeCloseTo(entry[name], 4);
  });
});

describe("log-probabilities of the sampler", () => {
  it("stand for those of a pass of their own, where the policy has changed when completions are first seen", async () => {
    const options: GRPOOptions = {
      perDeviceTrainBatchSize: 4,
      stepsPerGeneration: 4,
      numIterations: 2,
      temperature: 0.8,
      epsilon: 0.05,
    };
    const [kept, computed] = [await train(options), await train({ ...options, recomputeLogProbs: true })];
    expect(kept.log.some((entry) => entry["clip_ratio/region_mean"]! > 0)).toBe(true);
    for (const [i, entry] of kept.log.entries())
      expect(computed.log[i]!["grad_norm"]! / entry["grad_norm"]!).toBeCloseTo(1, 3);
  });
});

interface Kind {
  readonly name: string;
  readonly options: GRPOOptions;
  readonly full?: boolean;
}

const kinds: readonly Kind[] = [
  { name: "one rollout a step, dropout", options: {} },
  {
    name: "in the middle of a rollout, with a reference and an adaptive bonus",
    options: {
      perDeviceTrainBatchSize: 4,
      gradientAccumulationSteps: 2,
      stepsPerGeneration: 4,
      numIterations: 2,
      beta: 0.1,
      useAdaptiveEntropy: true,
      entropyCoef: 0.01,
      entropyTarget: 3.2,
    },
  },
  {
    name: "trained whole, several rollouts a step",
    options: { gradientAccumulationSteps: 2, stepsPerGeneration: 1, beta: 0.05 },
    full: true,
  },
];

describe.each(kinds)("a run that stops and goes on: $name", ({ options, full }) => {
  it.each([2, 3])("after step %i, and in the middle of the next", async (step) => {
    const run = (outputDir: string, more: GRPOOptions, trainerOptions: Partial<GRPOTrainerOptions> = {}) =>
      train(
        {
          ...options,
          maxSteps: 6,
          saveStrategy: "steps",
          saveSteps: 100,
          loggingSteps: 2,
          logCompletions: true,
          numCompletionsToPrint: 0,
          outputDir,
          ...more,
        },
        { peftConfig: full === true ? undefined : { ...lora, loraDropout: 0.2 }, ...trainerOptions },
      );
    const [through, stopped] = [newFolder(), newFolder()];
    await run(through, {});
    // Within the step, when it has more than one micro-batch, and else when it is over.
    const abort = new AbortController();
    const model = await tinyModel();
    const trainer = new GRPOTrainer({
      model,
      peftConfig: full === true ? undefined : { ...lora, loraDropout: 0.2 },
      trainDataset: tinyPrompts(6),
      rewardFuncs: lowTokens,
      args: new GRPOConfig({
        ...common,
        ...options,
        maxSteps: 6,
        saveStrategy: "steps",
        saveSteps: 100,
        loggingSteps: 2,
        logCompletions: true,
        numCompletionsToPrint: 0,
        outputDir: stopped,
      }),
      callbacks: [
        {
          onSubstepEnd: ({ step: now }) => (now === step + 1 ? abort.abort() : undefined),
          onStepEnd: ({ step: now }) => (now === step + 1 ? abort.abort() : undefined),
        },
      ],
    });
    await expect(trainer.train({ signal: abort.signal })).rejects.toThrow(TrainingInterrupted);
    model.dispose();
    await run(stopped, { resumeFromCheckpoint: true });

    const file = full === true ? "model.safetensors" : "adapter_model.safetensors";
    expect(readFileSync(join(stopped, file)).equals(readFileSync(join(through, file)))).toBe(true);
    expect(withoutTimes(readLog(stopped))).toEqual(withoutTimes(readLog(through)));
    const completions = readdirSync(join(through, "completions"));
    expect(readdirSync(join(stopped, "completions"))).toEqual(completions);
    for (const name of completions)
      expect(readFileSync(join(stopped, "completions", name), "utf8")).toBe(
        readFileSync(join(through, "completions", name), "utf8"),
      );
  });
});

describe("what a run tells", () => {
  it("writes completions as a table that loadDataset reads, with what rewards add", async () => {
    const judged = ({ completionIds, columns, logExtra, logMetric, trainerState }: RewardInput): number[] => {
      logExtra(
        "first",
        completionIds.map((ids) => ids[0]),
      );
      logMetric("steps_seen", trainerState!.globalStep);
      return completionIds.map(({ length }, i) => (columns["wanted"]![i] === 1 ? length : -length));
    };
    const { outputDir, log } = await train(
      { logCompletions: true, numCompletionsToPrint: 0, maxSteps: 2 },
      { rewardFuncs: judged },
    );
    const rows = await (
      await loadDataset(join(outputDir, "completions", "completions_00001.jsonl"))
    ).toArray();
    expect(rows).toHaveLength(8);
    expect(Object.keys(rows[0]!)).toEqual(["step", "completion", "judged", "first", "advantage"]);
    const { step, completion, first } = rows[3]!;
    expect([step, String(completion).split(" ")[0]]).toEqual([1, String(first)]);
    expect(log.map((entry) => entry["steps_seen"])).toEqual([0, 1]);
    for (const name of [
      "completions/mean_length",
      "completions/clipped_ratio",
      "rewards/judged/std",
      "num_tokens",
    ])
      expect(log[0]).toHaveProperty([name]);
  });

  it("evaluates on prompts of its own, the same draws each time", async () => {
    const model = await tinyModel();
    const adapter = LoraModel.create(model, lora, 1);
    const trainer = new GRPOTrainer({
      model: adapter,
      trainDataset: tinyPrompts(6),
      evalDataset: tinyPrompts(3, 77),
      rewardFuncs: lowTokens,
      args: new GRPOConfig({
        ...common,
        outputDir: newFolder(),
        numGenerationsEval: 2,
        perDeviceEvalBatchSize: 4,
      }),
    });
    const [one, again] = [await trainer.evaluate(), await trainer.evaluate()];
    expect(withoutTimes([one])).toEqual(withoutTimes([again]));
    expect(one["eval_reward"]).toBeGreaterThan(0);
    expect(one).toHaveProperty(["eval_completions/mean_length"]);
    expect(existsSync(join(trainer["args"].outputDir, "completions"))).toBe(false);
    adapter.detach();
    model.dispose();
  });
});
