/** @file What a run leaves: folders that load again, and checkpoints that are whole or not there. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import { LoraModel, readAdapterConfig } from "../../../src/peft/index.js";
import type { Tokenizer } from "../../../src/text/index.js";
import { SFTConfig, SFTTrainer, type SFTOptions } from "../../../src/trainers/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { modelFolder, readLog, sftRows, temporaryFolders, tinyModel } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const rows = sftRows(12);
const options = (outputDir: string, more: SFTOptions = {}): SFTConfig =>
  new SFTConfig({
    outputDir,
    perDeviceTrainBatchSize: 4,
    maxSteps: 4,
    learningRate: 1e-2,
    saveSteps: 2,
    disableTqdm: true,
    ...more,
  });

async function evalLoss(model: CausalLM | LoraModel): Promise<number> {
  const trainer = new SFTTrainer({
    model,
    args: options(newFolder()),
    trainDataset: rows,
    evalDataset: rows,
  });
  return (await trainer.evaluate())["eval_loss"]!;
}

/** A tokenizer that only is saved; what that does is up to the test. */
const savedBy = (save: (folder: string) => void): Tokenizer =>
  ({
    padTokenId: 0,
    eosToken: undefined,
    save: async (folder: string) => save(folder),
  }) as unknown as Tokenizer;

describe("a saved folder", () => {
  it("is a model that gives the same loss when it is loaded", async () => {
    const folder = newFolder();
    const model = await tinyModel();
    const before = await evalLoss(model);
    await new SFTTrainer({ model, args: options(folder), trainDataset: rows }).train();
    const after = await evalLoss(model);
    expect(after).toBeLessThan(before);
    for (const path of [folder, join(folder, "checkpoint-4")]) {
      const loaded = await AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
      expect(await evalLoss(loaded), path).toBe(after);
      loaded.dispose();
    }
    const earlier = await AutoModelForCausalLM.fromPretrained(join(folder, "checkpoint-2"), {
      dtype: "float32",
    });
    expect(await evalLoss(earlier)).not.toBe(after);
    for (const each of [earlier, model]) each.dispose();
  });

  it("is an adapter that gives the same loss on its base model", async () => {
    const folder = newFolder();
    const model = await tinyModel();
    const trainer = new SFTTrainer({
      model,
      args: options(folder),
      trainDataset: rows,
      peftConfig: { r: 2, loraAlpha: 16, targetModules: ["q_proj", "gate_proj"] },
    });
    await trainer.train();
    const after = await evalLoss(trainer.lora!);
    trainer.lora!.detach();
    model.dispose();
    expect(existsSync(join(folder, "model.safetensors"))).toBe(false);
    for (const path of [folder, join(folder, "checkpoint-4")]) {
      const config = readAdapterConfig(path);
      expect([config.r, config.loraAlpha, config.baseModelNameOrPath]).toEqual([2, 16, modelFolder]);
      const base = await tinyModel();
      const lora = LoraModel.load(base, path);
      expect(await evalLoss(lora), path).toBe(after);
      lora.detach();
      base.dispose();
    }
  });

  it("has the tokenizer too", async () => {
    const folder = newFolder();
    const model = await tinyModel();
    const tokenizer = savedBy((path) => writeFileSync(join(path, "tokenizer.json"), "{}"));
    await new SFTTrainer({ model, args: options(folder), trainDataset: rows, tokenizer }).train();
    for (const path of [folder, join(folder, "checkpoint-2")])
      expect(readFileSync(join(path, "tokenizer.json"), "utf8")).toBe("{}");
    model.dispose();
  });
});

describe("checkpoints", () => {
  it("that fail leave no half folder, and those before them whole", async () => {
    const folder = newFolder();
    const model = await tinyModel();
    let saves = 0;
    const tokenizer = savedBy((path) => {
      // The weights are there by now.
      expect(readdirSync(path)).toContain("model.safetensors");
      if (++saves > 1) throw new Error("the disk is full");
    });
    const args = options(folder, { maxSteps: 6 });
    await expect(new SFTTrainer({ model, args, trainDataset: rows, tokenizer }).train()).rejects.toThrow(
      "the disk is full",
    );
    expect(readdirSync(folder).sort()).toEqual(["checkpoint-2", "log.jsonl"]);
    const again = await tinyModel();
    await new SFTTrainer({
      model: again,
      args: options(folder, { maxSteps: 6, resumeFromCheckpoint: true }),
      trainDataset: rows,
    }).train();
    expect(existsSync(join(folder, "checkpoint-6"))).toBe(true);
    for (const each of [model, again]) each.dispose();
  });

  it("are as many as the limit says, the newest ones", async () => {
    const folder = newFolder();
    const model = await tinyModel();
    const args = options(folder, { maxSteps: 7, saveSteps: 2, saveTotalLimit: 2 });
    await new SFTTrainer({ model, args, trainDataset: rows }).train();
    const names = readdirSync(folder).filter((name) => name.startsWith("checkpoint"));
    expect(names.sort()).toEqual(["checkpoint-6", "checkpoint-7"]);
    model.dispose();
  });

  it("never fall to the limit as they are written, though later ones are there", async () => {
    const folder = newFolder();
    const model = await tinyModel();
    await new SFTTrainer({ model, args: options(folder, { maxSteps: 6 }), trainDataset: rows }).train();
    const resumed = await tinyModel();
    const kept: string[][] = [];
    await new SFTTrainer({
      model: resumed,
      args: options(folder, {
        maxSteps: 6,
        saveSteps: 1,
        saveTotalLimit: 1,
        resumeFromCheckpoint: join(folder, "checkpoint-2"),
      }),
      trainDataset: rows,
      callbacks: [
        { onSave: () => kept.push(readdirSync(folder).filter((name) => name.startsWith("checkpoint"))) },
      ],
    }).train();
    expect(kept).toEqual([["checkpoint-3"], ["checkpoint-4"], ["checkpoint-5"], ["checkpoint-6"]]);
    for (const each of [model, resumed]) each.dispose();
  });

  it("come at the ends of epochs, or not at all", async () => {
    const model = await tinyModel();
    const [epochs, none] = [newFolder(), newFolder()];
    const run = (args: SFTConfig) =>
      new SFTTrainer({ model, args, trainDataset: rows, evalDataset: rows }).train();
    await run(
      options(epochs, { maxSteps: -1, numTrainEpochs: 2, saveStrategy: "epoch", evalStrategy: "epoch" }),
    );
    expect(
      readdirSync(epochs)
        .filter((name) => name.startsWith("checkpoint"))
        .sort(),
    ).toEqual(["checkpoint-3", "checkpoint-6"]);
    expect(readLog(epochs).flatMap((entry) => ("eval_loss" in entry ? [entry["epoch"]] : []))).toEqual([
      1, 2,
    ]);
    await run(options(none, { saveStrategy: "no" }));
    expect(readdirSync(none).filter((name) => name.startsWith("checkpoint"))).toEqual([]);
    model.dispose();
  });
});

describe("an output folder that is not empty", () => {
  it("is cleared by overwriting, but only when the run begins", async () => {
    const folder = newFolder();
    const model = await tinyModel();
    const run = (more: SFTOptions, trainDataset: readonly object[] = rows) =>
      new SFTTrainer({ model, args: options(folder, more), trainDataset }).train();
    await run({});
    const before = readdirSync(folder).sort();
    const weights = readFileSync(join(folder, "model.safetensors"));
    await expect(run({})).rejects.toThrow(
      `output_dir = ${folder}: is not empty (checkpoint-2, checkpoint-4, config.json, …). Resume the run in it with --resume`,
    );
    await expect(run({ overwriteOutputDir: true }, [{ input_ids: [] }])).rejects.toThrow("the row is empty");
    expect(readdirSync(folder).sort()).toEqual(before);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    await run({ overwriteOutputDir: true, saveSteps: 3 });
    expect(
      readdirSync(folder)
        .filter((name) => name.startsWith("checkpoint"))
        .sort(),
    ).toEqual(["checkpoint-3", "checkpoint-4"]);
    model.dispose();
  });

  it("is never cleared of what no run writes", async () => {
    const folder = newFolder();
    mkdirSync(folder);
    for (const name of ["log.jsonl", "thesis.tex"]) writeFileSync(join(folder, name), "");
    const model = await tinyModel();
    const args = options(folder, { overwriteOutputDir: true });
    await expect(new SFTTrainer({ model, args, trainDataset: rows }).train()).rejects.toThrow(
      `output_dir = ${folder}: holds files that no run writes (thesis.tex), and will not be cleared. Move them away or name another folder.`,
    );
    expect(readdirSync(folder).sort()).toEqual(["log.jsonl", "thesis.tex"]);
    model.dispose();
  });
});
