/** @file Point 6 of the semantics: the projection head and a learnable temperature are trained and saved, and nothing frozen is. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { LoraModel } from "../../../src/peft/lora.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { need, readTensors } from "../fixtures.js";
import { numbersOf, readLog, temporaryFolders, tinyModel } from "../training/tiny.js";
import { craftTrainer, train as trainIn, type TrainedRun } from "./trainer_runs.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const train = (...run: TrainedRun) => trainIn(newFolder, ...run);

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
