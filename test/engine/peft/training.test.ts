/** @file Runs of a trainer with adapters of several kinds: native memory, what moves, and what is saved. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluateLoss } from "../../../src/evaluation/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import { LoraModel, type LoraOptions } from "../../../src/peft/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { SFTConfig, SFTTrainer } from "../../../src/trainers/index.js";
import { sftRows, temporaryFolders, tinyModel } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const kinds: readonly (readonly [string, LoraOptions])[] = [
  ["plain", { targetModules: ["q_proj", "k_proj", "v_proj"] }],
  ["DoRA with dropout", { useDora: true, loraDropout: 0.1, targetModules: "all-linear" }],
  ["PiSSA", { initLoraWeights: "pissa", useRslora: true, targetModules: ["q_proj", "down_proj"] }],
  ["OLoRA with DoRA and dropout", { initLoraWeights: "olora", useDora: true, loraDropout: 0.1 }],
  [
    "a table and whole modules",
    { targetModules: ["embed_tokens", "o_proj"], modulesToSave: ["lm_head", "norm"] },
  ],
  ["a whole table", { modulesToSave: ["embed_tokens"], rankPattern: { q_proj: 4 } }],
];
const texts = [
  [3, 5, 7, 9, 11, 4],
  [8, 6, 4, 10, 12],
];
const lossOf = async (model: CausalLM): Promise<number> =>
  (await evaluateLoss(model, texts, { batchSize: 2 })).loss;

describe.each(kinds)("training with %s", (_, peftConfig) => {
  it("holds as many tensors after each step, moves all that it trains and nothing else, and is saved", async () => {
    const before = liveTensors();
    const model = await tinyModel();
    const lora = LoraModel.create(model, { r: 2, ...peftConfig }, 3);
    const start = await lossOf(model);
    const own = new Set(lora.parameters());
    const values = [...new Set([...lora.parameters(), ...model.parameters()])].map(
      (parameter) => [parameter, parameter.value.toNumbers()] as const,
    );
    const base = await lora.disabled(() => lossOf(model));
    const counts: number[] = [];
    const outputDir = join(newFolder(), "out");
    const args = new SFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 2,
      gradientAccumulationSteps: 2,
      maxSteps: 4,
      learningRate: 0.02,
      disableTqdm: true,
    });
    await new SFTTrainer({
      model: lora,
      args,
      trainDataset: sftRows(16, 6, 6),
      callbacks: [{ onStepEnd: () => void counts.push(liveTensors()) }],
    }).train();
    expect(new Set(counts.slice(1)).size).toBe(1);
    for (const [parameter, value] of values)
      expect(parameter.value.toNumbers().join() !== value.join()).toBe(own.has(parameter));
    expect(await lora.disabled(() => lossOf(model))).toBe(base);
    const after = await lossOf(model);
    expect(Math.abs(after - start)).toBeGreaterThan(1e-3);
    expect(existsSync(join(outputDir, "adapter_model.safetensors"))).toBe(true);
    model.dispose();
    expect(liveTensors()).toBe(before);

    const again = await tinyModel();
    LoraModel.load(again, outputDir);
    expect(Math.abs((await lossOf(again)) - after)).toBeLessThan(1e-6);
    again.dispose();
    expect(liveTensors()).toBe(before);
  });
});
