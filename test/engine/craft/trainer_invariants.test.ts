/** @file Runs of CRAFTSFTTrainer: what moves, what stays, what is logged and what evaluation says. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTSFTConfig, CRAFTSFTTrainer, type CRAFTSFTOptions } from "../../../src/craft/index.js";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import { LoraModel } from "../../../src/peft/lora.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need, readTensors } from "../fixtures.js";
import {
  modelFolder,
  numbersOf,
  pairRows,
  readLog,
  sftRows,
  temporaryFolders,
  tinyModel,
  withoutTimes,
} from "../training/tiny.js";
import { Reference } from "./trainer_reference.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const strategies = ["paired_dataset", "self_align"] as const;

function craftTrainer(
  model: CausalLM | LoraModel,
  outputDir: string,
  options: CRAFTSFTOptions,
  more: Partial<ConstructorParameters<typeof CRAFTSFTTrainer>[0]> = {},
): CRAFTSFTTrainer {
  return new CRAFTSFTTrainer({
    model,
    args: new CRAFTSFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 4,
      gradientAccumulationSteps: 2,
      craftBeta: 0.5,
      craftProjectionDim: 8,
      maxSteps: 4,
      learningRate: 1e-2,
      loggingSteps: 1,
      saveStrategy: "no",
      disableTqdm: true,
      ...options,
    }),
    trainDataset: sftRows(16),
    ...(options.craftStrategy === "self_align" ? {} : { contrastiveDataset: pairRows(10) }),
    ...more,
  });
}

/** Runs and gives what was logged, what was trained and the number of native tensors after each step. */
async function train(
  options: CRAFTSFTOptions,
  more: Partial<ConstructorParameters<typeof CRAFTSFTTrainer>[0]> = {},
) {
  const outputDir = newFolder();
  const model = await tinyModel();
  const counts: number[] = [];
  const trainer = craftTrainer(model, outputDir, options, {
    callbacks: [{ onStepEnd: () => counts.push(liveTensors()) }],
    ...more,
  });
  const output = await trainer.train();
  const nce = trainer.infoNCE;
  const weights = numbersOf([...model.namedParameters(), ...nce.namedParameters("craft_loss")]);
  const result = { output, weights, counts, log: withoutTimes(readLog(outputDir)), outputDir };
  nce.dispose();
  model.dispose();
  return result;
}

describe.each(strategies)("a run with %s", (craftStrategy) => {
  it("is the same bit for bit when done twice, and another with another seed", async () => {
    const options = { craftStrategy, craftProjectionDropout: 0.2, craftLearnableTemperature: true };
    const first = await train(options);
    const second = await train(options);
    expect(second.weights).toEqual(first.weights);
    expect(second.log).toEqual(first.log);
    expect((await train({ ...options, seed: 43 })).weights).not.toEqual(first.weights);
  });

  it("is the same with gradient checkpointing", async () => {
    const kept = await train({ craftStrategy });
    const again = await train({ craftStrategy, gradientCheckpointing: true });
    for (const [name, values] of kept.weights)
      expect(largestDifference(need(again.weights, name), values), name).toBeLessThanOrEqual(1e-5);
  });

  it("holds the same number of native tensors over 50 steps, and none afterwards", async () => {
    const rows = sftRows(12, 8, 8);
    const more = {
      trainDataset: rows,
      ...(craftStrategy === "self_align" ? {} : { contrastiveDataset: pairRows(8, 6, 7) }),
    };
    const options = { craftStrategy, maxSteps: 50, loggingSteps: 10, craftLearnableTemperature: true };
    const { counts } = await train(options, more);
    expect(counts).toHaveLength(50);
    // Every shape of batch has come within an epoch.
    expect(new Set(counts.slice(5)).size).toBe(1);
    const before = liveTensors();
    await train({ ...options, maxSteps: 5 }, more);
    expect(liveTensors()).toBe(before);
  });

  it("logs every measure from the first step on", async () => {
    const { log } = await train({ craftStrategy, numTrainEpochs: 2, maxSteps: -1 });
    expect(Object.keys(log[0]!).sort()).toEqual(
      [
        "epoch",
        "grad_norm",
        "grad_norm/contrastive",
        "grad_norm/sft",
        "learning_rate",
        "loss",
        "loss/craft_contrast",
        "loss/craft_sft",
        "loss/craft_total",
        "metrics/craft_contrastive_accuracy",
        "metrics/craft_representation_consistency",
        "metrics/craft_temperature",
        "step",
      ].sort(),
    );
    for (const entry of log) {
      for (const [name, value] of Object.entries(entry)) expect(value, name).toSatisfy(Number.isFinite);
      const { "metrics/craft_contrastive_accuracy": accuracy, "metrics/craft_temperature": temperature } =
        entry;
      expect(accuracy).toBeGreaterThanOrEqual(0);
      expect(accuracy).toBeLessThanOrEqual(1);
      expect(temperature).toBeCloseTo(0.05, 6);
      const {
        "loss/craft_sft": sft,
        "loss/craft_contrast": contrast,
        "loss/craft_total": total,
        loss,
      } = entry;
      expect(total).toBeCloseTo(0.6 * sft! + 0.4 * contrast!, 9);
      expect(loss).toBeCloseTo(total!, 9);
    }
    expect(log.map(({ step }) => step)).toEqual(log.map((_, i) => i + 1));
    expect(log.at(-1)!["epoch"]).toBeCloseTo(2, 9);
    expect(
      Math.min(...log.map((entry) => entry["metrics/craft_representation_consistency"]!)),
    ).toBeGreaterThan(-1);
  });

  it("averages what it logs over the steps since the last entry", async () => {
    const { log: each } = await train({ craftStrategy });
    const { log: pairs } = await train({ craftStrategy, loggingSteps: 2 });
    expect(pairs.map(({ step }) => step)).toEqual([2, 4]);
    for (const [i, entry] of pairs.entries()) {
      const [a, b] = [each[2 * i]!, each[2 * i + 1]!];
      expect(entry["loss"]).toBeCloseTo((a["loss"]! + b["loss"]!) / 2, 9);
      expect(entry["grad_norm"]).toBe(b["grad_norm"]);
      for (const name of ["grad_norm/sft", "grad_norm/contrastive"])
        expect(entry[name]).toBeCloseTo((a[name]! + b[name]!) / 2, 9);
      const [low, high] = [a, b].map((e) => e["loss/craft_contrast"]!).sort((x, y) => x - y);
      expect(entry["loss/craft_contrast"]).toBeGreaterThanOrEqual(low!);
      expect(entry["loss/craft_contrast"]).toBeLessThanOrEqual(high!);
    }
  });
});

describe("what moves", () => {
  it("is each weight, the projection head and a learnable temperature", async () => {
    const model = await tinyModel();
    const before = numbersOf(model.namedParameters());
    model.dispose();
    const start = await train({ learningRate: 0, craftLearnableTemperature: true });
    const { weights, log } = await train({ craftLearnableTemperature: true, weightDecay: 0 });
    for (const [name, values] of before) expect(need(start.weights, name), name).toEqual(values);
    const head = [...weights.keys()].filter((name) => name.startsWith("craft_loss."));
    expect(head.sort()).toEqual([
      "craft_loss.log_temperature",
      "craft_loss.projection_head.hidden.bias",
      "craft_loss.projection_head.hidden.weight",
      "craft_loss.projection_head.output.bias",
      "craft_loss.projection_head.output.weight",
    ]);
    for (const [name, values] of weights) expect(values, name).not.toEqual(need(start.weights, name));
    const temperatures = log.map((entry) => entry["metrics/craft_temperature"]!);
    expect(new Set(temperatures).size).toBe(temperatures.length);
  });

  it("is the adapters and the head with LoRA, and no frozen weight by a bit", async () => {
    const model = await tinyModel();
    const lora = LoraModel.create(model, { r: 2, loraDropout: 0.1 });
    const frozen = () =>
      numbersOf([...model.namedParameters()].filter(([name]) => !name.includes("adapter")));
    const [before, adapters] = [frozen(), numbersOf(lora.namedParameters())];
    const trainer = craftTrainer(lora, newFolder(), { weightDecay: 0.3 });
    await trainer.train();
    expect(frozen()).toEqual(before);
    for (const [name, values] of numbersOf(lora.namedParameters()))
      expect(values, name).not.toEqual(need(adapters, name));
    trainer.infoNCE.dispose();
    lora.detach();
    model.dispose();
  });

  it("is not a temperature beyond its range, which is said once", async () => {
    const notices: string[] = [];
    const model = await tinyModel();
    model.setTrainable(false);
    // The temperature is all that is trained, and each step moves its logarithm by about 20.
    const options = { craftLearnableTemperature: true, craftProjectionDim: null, learningRate: 20 };
    const outputDir = newFolder();
    const trainer = craftTrainer(model, outputDir, options, {
      callbacks: [{ onNotice: (notice) => notices.push(notice) }],
    });
    await trainer.train();
    const temperatures = readLog(outputDir).map((entry) => entry["metrics/craft_temperature"]!);
    expect(temperatures[0]).toBeCloseTo(0.05, 6);
    const limits = temperatures.slice(1).map((t) => Math.abs(Math.log10(t)));
    for (const limit of limits) expect(limit).toBeCloseTo(2, 5);
    expect(notices.filter((notice) => notice.includes("temperature"))).toEqual([
      "the learnt temperature left [0.01, 100] and is kept inside from here on",
    ]);
    trainer.infoNCE.dispose();
    model.dispose();
  });
});

describe("evaluation", () => {
  const evalRows = sftRows(7, 5, 9, 77);
  const evalPairs = pairRows(8, 3, 7, 78);

  it("gives the mean over labels, whatever alpha is", async () => {
    const losses: number[] = [];
    for (const craftAlpha of [0, 0.25, 0.9, 1]) {
      const model = await tinyModel();
      const trainer = craftTrainer(model, newFolder(), { craftAlpha }, { evalDataset: evalRows });
      losses.push((await trainer.evaluate())["eval_loss"]!);
      model.dispose();
    }
    expect(new Set(losses).size).toBe(1);
    const model = await tinyModel();
    const trainer = craftTrainer(model, newFolder(), {}, { evalDataset: evalRows });
    await trainer.evaluate();
    const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
    const reference = new Reference(wide, trainer.infoNCE);
    const { sum, weight } = await reference.tokens(evalRows);
    expect(losses[0]).toBeCloseTo(sum / weight, 5);
    reference.dispose();
    for (const each of [wide, model]) each.dispose();
  });

  it("reports pairs too, and leaves what is trained as it was", async () => {
    const more = { evalDataset: evalRows, contrastiveEvalDataset: evalPairs };
    const evaluated = await train({ evalStrategy: "steps", evalSteps: 2, perDeviceEvalBatchSize: 4 }, more);
    const plain = await train({});
    expect(evaluated.weights).toEqual(plain.weights);
    const entries = evaluated.log.filter((entry) => "eval_loss" in entry);
    expect(entries.map(({ step }) => step)).toEqual([2, 4]);
    expect(evaluated.log.filter((entry) => !("eval_loss" in entry))).toEqual(plain.log);
    for (const entry of entries) {
      expect(Object.keys(entry).sort()).toEqual([
        "epoch",
        "eval_contrastive_loss",
        "eval_loss",
        "eval_metrics/craft_alignment",
        "eval_metrics/craft_contrastive_accuracy",
        "eval_metrics/craft_mean_reciprocal_rank",
        "eval_metrics/craft_uniformity",
        "step",
      ]);
      const rank = entry["eval_metrics/craft_mean_reciprocal_rank"]!;
      expect(rank).toBeGreaterThanOrEqual(entry["eval_metrics/craft_contrastive_accuracy"]!);
      expect(rank).toBeLessThanOrEqual(1);
      expect(rank).toBeGreaterThanOrEqual(1 / 4);
      expect(entry["eval_metrics/craft_uniformity"]).toBeLessThanOrEqual(0);
      expect(entry["eval_metrics/craft_alignment"]).toBeLessThanOrEqual(4);
    }
  });

  it("gives the mean contrastive loss over pairs", async () => {
    const model = await tinyModel();
    const trainer = craftTrainer(
      model,
      newFolder(),
      { craftTemperature: 0.5, craftContrastiveBatchSize: 4 },
      { contrastiveEvalDataset: evalPairs },
    );
    const { eval_contrastive_loss: loss } = await trainer.evaluate();
    const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
    const reference = new Reference(wide, trainer.infoNCE);
    const side = (ids: readonly number[]) => ({ ids, place: ids.length - 1 });
    const batches = [evalPairs.slice(0, 4), evalPairs.slice(4)].map((batch) =>
      batch.map((pair) => [side(pair.input_ids), side(pair.input_ids_tgt)] as const),
    );
    const totals = [await reference.pairs(batches[0]!), await reference.pairs(batches[1]!)];
    expect(loss).toBeCloseTo((totals[0]!.sum + totals[1]!.sum) / 8, 5);
    reference.dispose();
    for (const each of [wide, model]) each.dispose();
  });
});

describe("the output folder", () => {
  it("has the head beside the model, with its trained values", async () => {
    const { outputDir, weights } = await train({ craftLearnableTemperature: true });
    for (const file of ["config.json", "model.safetensors", "log.jsonl"])
      expect(existsSync(join(outputDir, file)), file).toBe(true);
    const saved = readTensors(join(outputDir, "craft.safetensors"));
    const head = [...weights].filter(([name]) => name.startsWith("craft_loss."));
    expect([...saved.keys()].sort()).toEqual(head.map(([name]) => name).sort());
    for (const [name, values] of head) expect(need(saved, name).values).toEqual(values);
  });
});
