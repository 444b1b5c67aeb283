/** @file CRAFT runs from a run file: with pairs, and with rows that are their own pairs. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { craft, craftJson, makeProject, readLog, tensorsOf, writeRunFile } from "./craft.js";

const common = {
  model_name_or_path: "model",
  train_dataset: "train.jsonl",
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 4,
  learning_rate: 0.01,
  max_length: 64,
  craft_alpha: 0.6,
  craft_beta: 0.5,
  craft_projection_dim: 16,
  logging_steps: 1,
  dtype: "float32",
};

let project: string;
beforeAll(async () => {
  project = await makeProject();
});

const finite = (entry: Record<string, number>, name: string): number => {
  expect(entry[name], `${name} of step ${entry["step"]}`).toSatisfy(Number.isFinite);
  return entry[name]!;
};

describe("craft sft with a contrastive dataset", () => {
  beforeAll(async () => {
    writeRunFile(join(project, "pairs.yaml"), {
      ...common,
      contrastive_dataset: "pairs.jsonl",
      contrastive_columns: { anchor: "en", positive: "es" },
      craft_strategy: "paired_dataset",
      craft_contrastive_batch_size: 4,
      output_dir: "out",
      max_steps: 12,
      save_steps: 6,
      use_peft: true,
      lora_r: 4,
    });
    await craftJson(["sft", "--config", "pairs.yaml"], { cwd: project });
  });

  it("logs both losses and the CRAFT metrics from the first step on", () => {
    const log = readLog(join(project, "out"));
    expect(log.map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    for (const entry of log) {
      const [sft, contrast] = [finite(entry, "loss/craft_sft"), finite(entry, "loss/craft_contrast")];
      // alpha times the base loss and the rest times the contrastive one.
      expect(finite(entry, "loss/craft_total")).toBeCloseTo(0.6 * sft + 0.4 * contrast, 9);
      expect(finite(entry, "loss")).toBeCloseTo(entry["loss/craft_total"]!, 9);
      const accuracy = finite(entry, "metrics/craft_contrastive_accuracy");
      expect(accuracy).toBeGreaterThanOrEqual(0);
      expect(accuracy).toBeLessThanOrEqual(1);
      expect(Math.abs(finite(entry, "metrics/craft_representation_consistency"))).toBeLessThanOrEqual(
        1.000001,
      );
      expect(finite(entry, "metrics/craft_temperature")).toBeCloseTo(0.05, 6);
      expect(finite(entry, "grad_norm/sft")).toBeGreaterThan(0);
      expect(finite(entry, "grad_norm/contrastive")).toBeGreaterThan(0);
    }
  });

  it("lowers the contrastive loss, projection head included, and saves the head", () => {
    const log = readLog(join(project, "out"));
    const mean = (entries: Record<string, number>[]): number =>
      entries.reduce((sum, entry) => sum + entry["loss/craft_contrast"]!, 0) / entries.length;
    expect(mean(log.slice(-3))).toBeLessThan(mean(log.slice(0, 3)));
    expect(tensorsOf(join(project, "out/checkpoint-6/craft.safetensors"))).toEqual({
      "craft_loss.projection_head.hidden.weight": { dtype: "F32", shape: [32, 32] },
      "craft_loss.projection_head.hidden.bias": { dtype: "F32", shape: [32] },
      "craft_loss.projection_head.output.weight": { dtype: "F32", shape: [16, 32] },
      "craft_loss.projection_head.output.bias": { dtype: "F32", shape: [16] },
    });
    const early = readFileSync(join(project, "out/checkpoint-6/craft.safetensors"));
    expect(early.equals(readFileSync(join(project, "out/craft.safetensors")))).toBe(false);
  });

  it("with alpha 1 gives the weights that plain SFT on the same batches gives", async () => {
    // 8 rows in batches of 2 make 4 SFT batches an epoch, two of them in each window of either run.
    writeRunFile(join(project, "plain.yaml"), {
      ...common,
      craft_alpha: undefined,
      craft_beta: undefined,
      craft_projection_dim: undefined,
      gradient_accumulation_steps: 2,
      output_dir: "plain",
      max_steps: 4,
      use_peft: true,
      lora_r: 4,
    });
    await craftJson(["sft", "--config", "plain.yaml"], { cwd: project });
    await craftJson(
      ["sft", "--config", "pairs.yaml", "--craft_alpha", "1", "--max_steps", "4", "--output_dir", "alpha1"],
      { cwd: project },
    );
    const losses = (run: string, name: string): number[] =>
      readLog(join(project, run)).map((entry) => entry[name]!);
    const [plain, mixed] = [losses("plain", "loss"), losses("alpha1", "loss/craft_sft")];
    plain.forEach((loss, i) => expect(mixed[i]).toBeCloseTo(loss, 4));
  });
});

describe("craft sft with self_align", () => {
  it("takes anchor and positive from the rows themselves", async () => {
    writeRunFile(join(project, "self.yaml"), {
      ...common,
      craft_strategy: "self_align",
      output_dir: "self",
      max_steps: 4,
    });
    const output = await craftJson(["sft", "--config", "self.yaml"], { cwd: project });
    expect(output["global_step"]).toBe(4);
    for (const entry of readLog(join(project, "self"))) {
      finite(entry, "loss/craft_sft");
      finite(entry, "loss/craft_contrast");
    }
    expect(existsSync(join(project, "self/model.safetensors"))).toBe(true);
  });

  it("refuses pairs beside it", async () => {
    const { code, stdout, stderr } = await craft(
      [
        "sft",
        "--config",
        "self.yaml",
        "--output_dir",
        "both",
        "--contrastive_dataset",
        "pairs.jsonl",
        "--json",
      ],
      { cwd: project },
    );
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/self_align/);
  });
});

describe("craft sft --explain", () => {
  it("says of each option what it is and why, with a preset too, and trains nothing", async () => {
    const args = [
      "sft",
      "--config",
      "self.yaml",
      "--output_dir",
      "explained",
      "--craft_preset",
      "minimal",
      "--explain",
    ];
    const { code, stdout } = await craft(args, { cwd: project });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^craft_alpha +0\.6 +given$/m);
    expect(stdout).toMatch(/^craft_use_gradcache +false +preset minimal$/m);
    expect(stdout).toMatch(/^craft_symmetric +false +default$/m);
    expect(existsSync(join(project, "explained"))).toBe(false);
  });

  it("refuses a preset without contrastive data", async () => {
    writeRunFile(join(project, "preset.yaml"), {
      model_name_or_path: "model",
      train_dataset: "train.jsonl",
      craft_preset: "balanced",
      output_dir: "none",
    });
    const { code, stderr } = await craft(["sft", "--config", "preset.yaml"], { cwd: project });
    expect(code).toBe(1);
    expect(stderr).toContain("craft_preset = balanced: has no effect, since there is no contrastive data.");
  });
});
