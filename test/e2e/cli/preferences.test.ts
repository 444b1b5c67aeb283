/** @file Run files to models trained on preferences, and dry runs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { craft, craftJson, makeProject, readLog, writeJsonl, writeRunFile } from "./craft.js";

const common = {
  model_name_or_path: "model",
  train_dataset: "pairs.jsonl",
  per_device_train_batch_size: 2,
  max_steps: 2,
  learning_rate: 0.01,
  max_length: 64,
  logging_steps: 1,
  save_strategy: "no",
  dtype: "float32",
};
const adapters = { use_peft: true, lora_r: 2, lora_target_modules: ["q_proj"] };

let project: string;
beforeAll(async () => {
  project = await makeProject();
  const pairs = ["one", "two", "three"].map((word, i) => ({
    prompt: `Say ${word}:`,
    chosen: ` ${word} ${i}`,
    rejected: ` not ${word}`,
  }));
  writeJsonl(join(project, "pairs.jsonl"), pairs);
});

describe("craft dpo, orpo and reward", () => {
  it.each([
    ["dpo", { ...adapters, beta: 0.2 }, "adapter_model.safetensors", "rewards/margins"],
    [
      "dpo",
      { ...adapters, craft_strategy: "self_align", craft_beta: 0.5 },
      "craft.safetensors",
      "loss/craft_dpo",
    ],
    ["orpo", {}, "model.safetensors", "nll_loss"],
    ["reward", {}, "model.safetensors", "accuracy"],
  ])("craft %s trains by a run file", async (command, options, file, metric) => {
    const name = `${command}-${file.split(".")[0]}`;
    writeRunFile(join(project, `${name}.yaml`), { ...common, ...options, output_dir: name });
    const { code, stderr } = await craft([command, "--config", `${name}.yaml`], { cwd: project });
    expect(stderr).not.toContain("error:");
    expect(code).toBe(0);
    expect(existsSync(join(project, name, file))).toBe(true);
    const log = readLog(join(project, name));
    expect(log).toHaveLength(2);
    expect(Number.isFinite(log[1]![metric])).toBe(true);
  });

  it("refuses CRAFT's data where there is no CRAFT version", async () => {
    writeRunFile(join(project, "no.yaml"), { ...common, output_dir: "no", craft_strategy: "self_align" });
    const { code, stderr } = await craft(["reward", "--config", "no.yaml"], { cwd: project });
    expect(code).toBe(1);
    expect(stderr).toContain("craft reward: has no version with contrastive data");
  });
});

describe("--dry-run", () => {
  it("shows options, rows with what is predicted, and memory, and leaves nothing behind", async () => {
    writeRunFile(join(project, "dry.yaml"), { ...common, ...adapters, output_dir: "dry" });
    const found = await craftJson(["dpo", "--config", "dry.yaml", "--dry-run"], { cwd: project });
    expect(found).toMatchObject({
      command: "dpo",
      config: { beta: 0.1, loss_type: "sigmoid", max_steps: 2 },
      sample: [
        {
          row: expect.stringMatching(/pairs\.jsonl, line 1$/) as string,
          parts: [
            { part: "prompt", trained: false, text: expect.stringMatching(/Say one:$/) as string },
            { part: "chosen", trained: true, text: expect.stringMatching(/one 0</) as string },
            { part: "rejected", trained: true, text: expect.stringMatching(/not one</) as string },
          ],
        },
        {},
      ],
    });
    expect(existsSync(join(project, "dry"))).toBe(false);
    const { stdout } = await craft(["dpo", "--config", "dry.yaml", "--dry-run"], { cwd: project });
    expect(stdout).toMatch(/beta: 0\.1[^]*\+ chosen, \d+ tokens[^]*in all: \d+\.\d\d GB/);
  });
});
