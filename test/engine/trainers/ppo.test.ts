/** @file PPO with the policy's own completions: what it learns, what it does not depend on, and runs that go on. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import {
  PPOConfig,
  PPOTrainer,
  type PPOOptions,
  type PPOTrainerOptions,
  type RewardInput,
} from "../../../src/trainers/index.js";
import { TrainingInterrupted, type TrainOutput } from "../../../src/training/index.js";
import { numbersOf, readLog, temporaryFolders, tinyModel, withoutTimes } from "../training/tiny.js";
import { readTensors } from "../fixtures.js";
import { lowTokens, tinyPrompts } from "./rl_tiny.js";

const newFolder = temporaryFolders();
let before = 0;
beforeAll(async () => {
  await loadTorch();
  before = liveTensors();
});
afterAll(() => expect(liveTensors()).toBe(before));

const lora = { r: 4, targetModules: ["q_proj", "k_proj", "v_proj", "o_proj"] };
const common: PPOOptions = {
  perDeviceTrainBatchSize: 4,
  numMiniBatches: 2,
  numPpoEpochs: 2,
  responseLength: 6,
  temperature: 1,
  maxSteps: 6,
  learningRate: 1e-2,
  loggingSteps: 1,
  saveStrategy: "no",
  disableTqdm: true,
};

async function train(
  options: PPOOptions,
  more: Partial<PPOTrainerOptions> = {},
  run: (trainer: PPOTrainer) => Promise<TrainOutput> = (trainer) => trainer.train(),
) {
  const outputDir = options.outputDir ?? newFolder();
  const model = await tinyModel();
  const trainer = new PPOTrainer({
    model,
    peftConfig: lora,
    trainDataset: tinyPrompts(16),
    rewardFuncs: lowTokens,
    args: new PPOConfig({ ...common, ...options, outputDir }),
    ...more,
  });
  try {
    await run(trainer);
    const weights = numbersOf(trainer.lora?.namedParameters() ?? model.namedParameters());
    return { log: readLog(outputDir), weights, outputDir };
  } finally {
    trainer.valueHead?.dispose();
    model.dispose();
  }
}

describe("learning", () => {
  it("raises the score, and values come to know it", async () => {
    const { log } = await train(
      { maxSteps: 60, perDeviceTrainBatchSize: 8, learningRate: 2e-2, vfCoef: 0.5, klCoef: 0.01 },
      { peftConfig: undefined },
    );
    const rollouts = log.filter((entry) => "objective/scores" in entry);
    expect(rollouts).toHaveLength(15);
    expect(rollouts[0]!["objective/scores"]).toBeLessThan(0.65);
    expect(rollouts.at(-1)!["objective/scores"]).toBeGreaterThan(0.85);
    expect(log.at(-1)!["loss/value_avg"]).toBeLessThan(log[0]!["loss/value_avg"]! / 2);
    expect(rollouts.at(-1)!["objective/kl"]).toBeGreaterThan(rollouts[0]!["objective/kl"]!);
  });

  it("takes a step for each mini-batch of each pass", async () => {
    const steps: number[] = [];
    const { log } = await train(
      { maxSteps: -1, totalEpisodes: 16, numMiniBatches: 4, perDeviceTrainBatchSize: 2, numPpoEpochs: 3 },
      { callbacks: [{ onOptimizerStep: ({ step }) => void steps.push(step) }] },
    );
    expect(steps).toHaveLength(2 * 3 * 4);
    expect(log.filter((entry) => "episode" in entry).map((entry) => entry["episode"])).toEqual([8, 16]);
    expect(new Set(log.map((entry) => entry["grad_norm"])).size).toBe(24);
  });
});

describe("the same run", () => {
  it.each<[string, PPOOptions, PPOOptions]>([
    ["in micro-batches of any size", {}, { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 4 }],
    ["with log-probabilities computed anew", {}, { recomputeLogProbs: true }],
  ])("%s", async (_, one, other) => {
    const [a, b] = [await train(one), await train(other)];
    for (const [i, entry] of a.log.entries())
      for (const name of ["loss", "grad_norm", "loss/value_avg", "objective/kl", "policy/entropy_avg"])
        if (entry[name] !== undefined)
          expect(b.log[i]![name], `${name} of step ${i + 1}`).toBeCloseTo(entry[name], 4);
  });
});

describe("a run that stops and goes on", () => {
  it.each<[string, PPOOptions, boolean]>([
    [
      "with adapters and an adaptive controller",
      {
        adapKlCtrl: true,
        target: 0.1,
        horizon: 50,
        gradientAccumulationSteps: 2,
        perDeviceTrainBatchSize: 2,
      },
      false,
    ],
    ["trained whole", { whitenRewards: true }, true],
  ])("%s ends as one that went through", async (_, options, full) => {
    const all: PPOOptions = {
      ...options,
      maxSteps: 9,
      loggingSteps: 2,
      saveStrategy: "steps",
      saveSteps: 100,
    };
    const more = { peftConfig: full ? undefined : { ...lora, loraDropout: 0.2 } };
    const through = await train(all, more);
    for (const step of [2, 5]) {
      const outputDir = newFolder();
      const abort = new AbortController();
      const stop = ({ step: now }: { readonly step: number }): void => {
        if (now === step + 1) abort.abort();
      };
      const stopped = train(
        { ...all, outputDir },
        { ...more, callbacks: [{ onSubstepEnd: stop, onStepEnd: stop }] },
        (trainer) => trainer.train({ signal: abort.signal }),
      );
      await expect(stopped).rejects.toThrow(TrainingInterrupted);
      const resumed = await train({ ...all, outputDir, resumeFromCheckpoint: true }, more);
      expect(resumed.weights).toEqual(through.weights);
      expect(withoutTimes(resumed.log)).toEqual(withoutTimes(through.log));
      const head = (folder: string): Buffer => readFileSync(join(folder, "modules.safetensors"));
      expect(head(outputDir).equals(head(through.outputDir))).toBe(true);
    }
    const saved = readTensors(join(through.outputDir, "modules.safetensors"));
    expect([...saved.keys()].sort()).toEqual(["value_head.summary.bias", "value_head.summary.weight"]);
    expect(saved.get("value_head.summary.weight")!.values.every((value) => value !== 0)).toBe(true);
  });
});

describe("rewards", () => {
  it("that no function gives leave a completion out; cut-off ones lose the penalty", async () => {
    const judged = (some: boolean) => ({
      name: "judged",
      score: ({ completionIds }: RewardInput) =>
        completionIds.map((_, i) => (some && i % 2 === 0 ? 1 : null)),
    });
    const none = await train({ maxSteps: 2, klCoef: 0 }, { rewardFuncs: judged(false) });
    expect(none.log.map((entry) => [entry["loss"], entry["grad_norm"]])).toEqual([
      [0, 0],
      [0, 0],
    ]);
    const some = await train(
      { maxSteps: 1, missingEosPenalty: 0.25, responseLength: 2 },
      { rewardFuncs: judged(true) },
    );
    const { "objective/scores": scores, "completions/clipped_ratio": cut } = some.log[0]!;
    expect(cut).toBeGreaterThan(0.8);
    expect(scores).toBeLessThan(1);
    expect(scores).toBeGreaterThanOrEqual(0.75);
  });
});

describe("what a run tells and refuses", () => {
  it("evaluates on prompts of its own, and steers nothing by it", async () => {
    const outputDir = newFolder();
    const { log } = await train(
      {
        evalStrategy: "steps",
        evalSteps: 4,
        maxSteps: 8,
        adapKlCtrl: true,
        target: 0.1,
        horizon: 100,
        outputDir,
      },
      { evalDataset: tinyPrompts(5, 77) },
    );
    const plain = await train({ maxSteps: 8, adapKlCtrl: true, target: 0.1, horizon: 100 });
    const evaluations = log.filter((entry) => "eval_objective/scores" in entry);
    expect(evaluations).toHaveLength(2);
    expect(evaluations[0]).toHaveProperty(["eval_objective/kl"]);
    const steps = log.filter((entry) => "loss" in entry);
    expect(withoutTimes(steps)).toEqual(withoutTimes(plain.log));
  });

  it("has no reference without a divergence", async () => {
    const { log } = await train({ klCoef: 0, maxSteps: 1 }, { peftConfig: undefined });
    expect(log[0]).not.toHaveProperty(["objective/kl"]);
  });

  it("refuses a prompt that leaves no room", async () => {
    const outputDir = newFolder();
    const run = train({ outputDir }, { trainDataset: [{ input_ids: new Array<number>(60).fill(4) }] });
    await expect(run).rejects.toThrow(
      "train_dataset, row 0, column prompt = 60 tokens: with response_length = 6 that is more than the 64 positions of the model.",
    );
    expect(existsSync(join(outputDir, "log.jsonl"))).toBe(false);
  });
});
