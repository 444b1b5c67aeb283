/**
 * @file Gradient balancing acts on the tasks' mean gradients of each window, for whole models and for adapters. With
 * beta1 = 0 and no clipping, AdamW's first moment in a checkpoint is the gradient of its step; with a learning rate of
 * 0, all steps have the same weights. Runs with alpha = 1 and alpha = 0 so give the gradients of the two tasks, and
 * what a balanced run makes of them is computed here.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTSFTConfig, CRAFTSFTTrainer, type CRAFTSFTOptions } from "../../../src/craft/index.js";
import type { LoraConfig } from "../../../src/peft/lora.js";
import { loadTorch } from "../../../src/torch/torch.js";
import {
  GradNormBalancer,
  LossScaleBalancer,
  TaskGradients,
  UncertaintyBalancer,
  type Balancer,
  type TrainerCallback,
} from "../../../src/training/index.js";
import { readTensors } from "../fixtures.js";
import { pairRows, readLog, sftRows, temporaryFolders, tinyModel, withoutTimes } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const adapters = { r: 2, targetModules: ["q_proj", "o_proj"] };
const steps = 4;
const alpha = 0.3;
const tasks = ["sft", "contrastive"];

interface RunOptions {
  readonly options: CRAFTSFTOptions;
  readonly peftConfig: Partial<LoraConfig> | undefined;
  readonly outputDir?: string;
  readonly callbacks?: readonly TrainerCallback[];
}

/** Windows of three micro-batches, the last one of an epoch of two. */
async function train({ options, peftConfig, outputDir = newFolder(), callbacks = [] }: RunOptions) {
  const model = await tinyModel();
  const trainer = new CRAFTSFTTrainer({
    model,
    peftConfig,
    args: new CRAFTSFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 2,
      craftContrastiveBatchSize: 3,
      gradientAccumulationSteps: 3,
      craftAlpha: alpha,
      craftBeta: 0.6,
      craftProjectionDim: 8,
      craftTemperature: 0.5,
      maxSteps: steps,
      loggingSteps: 1,
      saveSteps: 1,
      maxGradNorm: 0,
      disableTqdm: true,
      ...options,
    }),
    trainDataset: sftRows(10, 6, 8),
    ...(options.craftStrategy === "self_align" ? {} : { contrastiveDataset: pairRows(7, 4, 5) }),
    callbacks,
  });
  try {
    await trainer.train();
  } finally {
    model.dispose();
  }
  return outputDir;
}

const still = { learningRate: 0, adamBeta1: 0 } as const;

/** Gradient of a step, one list of numbers for each parameter. */
function gradientAt(folder: string, step: number): number[][] {
  const moments = readTensors(join(folder, `checkpoint-${step}`, "optimizer.safetensors"));
  const names = [...moments.keys()].filter((name) => name.startsWith("exp_avg.")).sort();
  return names.map((name) => [...moments.get(name)!.values]);
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const size = (a: readonly number[]): number => Math.sqrt(dot(a, a));
const plus = (a: readonly number[], b: readonly number[], factor = 1): number[] =>
  a.map((x, i) => x + factor * b[i]!);
const times = (a: readonly number[], factor: number): number[] => a.map((x) => factor * x);
const distance = (a: readonly number[], b: readonly number[]): number => size(plus(a, b, -1)) / size(b);

/** Balancers with a state, which test/pure/training/balancing.test.ts compares with PyTorch. */
const stateful: Readonly<Record<string, () => Balancer>> = {
  loss_scale: () => new LossScaleBalancer(tasks, 0.5),
  uncertainty: () => new UncertaintyBalancer(tasks),
  gradnorm: () => new GradNormBalancer(tasks, 1.5),
};

describe.each([
  ["a whole model", undefined],
  ["adapters", adapters],
])("of %s", (_, peftConfig) => {
  const seen: { losses: number[]; sft: number[]; contrastive: number[]; inner: TaskGradients }[] = [];
  beforeAll(async () => {
    const folders = [
      await train({ options: { ...still, craftAlpha: 1 }, peftConfig }),
      await train({ options: { ...still, craftAlpha: 0 }, peftConfig }),
    ];
    const logs = folders.map(readLog);
    for (let step = 1; step <= steps; step++) {
      const parts = folders.map((folder) => gradientAt(folder, step));
      const inner = parts.map((a) => parts.map((b) => a.map((values, p) => dot(values, b[p]!))));
      seen.push({
        losses: logs.map((log) => log[step - 1]!["loss"]!),
        sft: parts[0]!.flat(),
        contrastive: parts[1]!.flat(),
        inner: new TaskGradients(inner),
      });
    }
  });

  const balanced = async (options: CRAFTSFTOptions) => {
    const folder = await train({ options: { ...still, ...options }, peftConfig });
    return { gradients: seen.map((_, i) => gradientAt(folder, i + 1).flat()), log: readLog(folder) };
  };

  it("none is alpha alone", async () => {
    const { gradients, log } = await balanced({});
    seen.forEach(({ sft, contrastive }, i) => {
      const expected = plus(times(sft, alpha), contrastive, 1 - alpha);
      expect(distance(gradients[i]!, expected)).toBeLessThan(1e-6);
      expect(log[i]).not.toHaveProperty("gradient_weight/sft");
    });
  });

  it("a limit for each task acts before alpha does", async () => {
    const limit = 0.5;
    const { gradients, log } = await balanced({
      craftGradientClipPerTask: true,
      craftGradientClipValue: limit,
    });
    const clipped = (of: number[]): number[] => times(of, Math.min(1, limit / size(of)));
    const above = seen.flatMap(({ sft, contrastive }) => [size(sft) > limit, size(contrastive) > limit]);
    expect(above).toContain(true);
    seen.forEach(({ sft, contrastive, losses }, i) => {
      const expected = plus(times(clipped(sft), alpha), clipped(contrastive), 1 - alpha);
      expect(distance(gradients[i]!, expected)).toBeLessThan(1e-5);
      // What is logged of the tasks is what was there before.
      expect(log[i]!["grad_norm/sft"]).toBeCloseTo(size(sft), 5);
      expect(log[i]!["loss"]).toBeCloseTo(alpha * losses[0]! + (1 - alpha) * losses[1]!, 5);
      expect(log[i]!["gradient_weight/sft"]).toBeCloseTo(alpha * Math.min(1, limit / size(sft)), 5);
    });
  });

  it("pcgrad takes out of each gradient what opposes the other", async () => {
    const { gradients } = await balanced({ craftGradientBalancing: "pcgrad" });
    let conflicts = 0;
    seen.forEach(({ sft, contrastive }, i) => {
      const inner = dot(sft, contrastive);
      if (inner < 0) conflicts++;
      const against = Math.min(0, inner);
      const first = plus(sft, contrastive, -against / dot(contrastive, contrastive));
      const second = plus(contrastive, sft, -against / dot(sft, sft));
      const expected = plus(times(first, alpha), second, 1 - alpha);
      expect(distance(gradients[i]!, expected)).toBeLessThan(1e-5);
    });
    expect(conflicts).toBeGreaterThan(0);
  });

  it.each(Object.keys(stateful))("%s weighs what alpha has weighed", async (name) => {
    const { gradients, log } = await balanced({
      craftGradientBalancing: name as "loss_scale",
      ...(name === "loss_scale" ? { craftLossScaleMomentum: 0.5 } : {}),
    });
    const balancer = stateful[name]!();
    seen.forEach(({ sft, contrastive, losses, inner }, i) => {
      const weights = balancer.balance({ tasks, losses, gradients: inner }, [alpha, 1 - alpha]).gradients;
      const expected = plus(times(sft, weights[0]!), contrastive, weights[1]);
      expect(distance(gradients[i]!, expected)).toBeLessThan(1e-5);
      expect(log[i]!["gradient_weight/sft"]).toBeCloseTo(weights[0]!, 5);
      expect(log[i]!["gradient_weight/contrastive"]).toBeCloseTo(weights[1]!, 5);
      expect(log[i]!["loss"]).toBeCloseTo(dot(weights, losses), 4);
      expect(log[i]!["loss/craft_total"]).toBeCloseTo(dot([alpha, 1 - alpha], losses), 5);
    });
    // It has an effect, and another one in each window.
    const factors = log.map((entry) => entry["gradient_weight/sft"]!);
    expect(new Set(factors).size).toBe(steps);
  });
});

describe.each(Object.keys(stateful))("a run with %s", (name) => {
  const options = {
    craftStrategy: name === "gradnorm" ? "self_align" : "paired_dataset",
    craftGradientBalancing: name as "loss_scale",
    craftGradientClipPerTask: true,
    learningRate: 1e-2,
    saveSteps: 2,
    loggingSteps: 3,
  } as const;

  it("goes on from a checkpoint as if it had not stopped", async () => {
    const [through, stopped] = [newFolder(), newFolder()];
    const run = (outputDir: string, more: CRAFTSFTOptions, callbacks: readonly TrainerCallback[] = []) =>
      train({ options: { ...options, ...more }, peftConfig: adapters, outputDir, callbacks });
    await run(through, {});
    const stop: TrainerCallback = {
      onStepEnd: ({ step }) => {
        if (step === 3) throw new Error("stopped");
      },
    };
    await expect(run(stopped, {}, [stop])).rejects.toThrow("stopped");
    await run(stopped, { resumeFromCheckpoint: true });
    for (const file of ["adapter_model.safetensors", "craft.safetensors"])
      expect(readFileSync(join(stopped, file)).equals(readFileSync(join(through, file))), file).toBe(true);
    expect(withoutTimes(readLog(stopped))).toEqual(withoutTimes(readLog(through)));
    const carried = (folder: string): unknown =>
      (
        JSON.parse(readFileSync(join(folder, "checkpoint-4", "run_state.json"), "utf8")) as {
          carried: object;
        }
      ).carried;
    expect(carried(stopped)).toEqual(carried(through));
    expect(carried(through)).toHaveProperty("balancing");
  });
});
