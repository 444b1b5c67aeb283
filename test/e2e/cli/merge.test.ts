/** @file `craft merge`: the merged model computes what model and adapter do, and nothing is overwritten. */
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { craft, craftJson, makeProject, trainRows, writeJsonl, writeRunFile } from "./craft.js";

let project: string;
beforeAll(async () => {
  project = await makeProject();
  writeJsonl(
    join(project, "whole.jsonl"),
    trainRows.map(({ prompt, completion }) => ({ text: prompt + completion })),
  );
  writeRunFile(join(project, "run.yaml"), {
    model_name_or_path: "model",
    train_dataset: "train.jsonl",
    output_dir: "out",
    max_steps: 4,
    learning_rate: 0.02,
    use_peft: true,
    lora_r: 2,
    use_dora: true,
    use_rslora: true,
    lora_target_modules: "all-linear",
    lora_modules_to_save: ["norm"],
    rank_pattern: { down_proj: 3 },
    dtype: "float32",
    disable_tqdm: true,
  });
  const { code, stderr } = await craft(["sft", "--config", "run.yaml"], { cwd: project });
  expect(stderr).not.toContain("error:");
  expect(code).toBe(0);
});

const loss = async (...args: readonly string[]): Promise<unknown> =>
  (await craftJson(["eval", "--dataset", "whole.jsonl", "--dtype", "float32", ...args], { cwd: project }))[
    "loss"
  ];

describe("craft merge", () => {
  it("writes a model that scores as model and adapter do", async () => {
    const merged = ["merge", "--model", "model", "--adapter", "out", "--output", "merged"];
    const result = await craftJson(merged, { cwd: project });
    expect(result).toMatchObject({ output: "merged", dtype: "float32" });
    expect(readdirSync(join(project, "merged"))).toEqual(
      expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json"]),
    );
    const adapted = Number(await loss("--model", "model", "--adapter", "out"));
    expect(Math.abs(Number(await loss("--model", "merged")) - adapted)).toBeLessThan(1e-5);
    expect(Math.abs(Number(await loss("--model", "model")) - adapted)).toBeGreaterThan(0.01);
  });

  it("takes the model that the adapter names, in another dtype if asked", async () => {
    const args = ["merge", "--adapter", "out", "--output", "half", "--dtype", "bfloat16"];
    expect(await craftJson(args, { cwd: project })).toMatchObject({ dtype: "bfloat16" });
    const config = JSON.parse(readFileSync(join(project, "half/config.json"), "utf8")) as { dtype: string };
    expect(config.dtype).toBe("bfloat16");
  });

  it("refuses a folder that is not empty, and an adapter of another model", async () => {
    const onto = await craft(["merge", "--adapter", "out", "--output", "out"], { cwd: project });
    expect(onto.code).toBe(1);
    expect(onto.stderr).toBe("error: --output = out: is not empty. Name a new folder.\n");
    const foreign = join(import.meta.dirname, "../../fixtures/models/adapter");
    cpSync(foreign, join(project, "foreign"), { recursive: true });
    const args = ["merge", "--model", "model", "--adapter", "foreign", "--output", "never"];
    const refused = await craft(args, { cwd: project });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^error: adapter foreign = model\.layers\.\d\.self_attn\.[qv]_proj: /);
    expect(existsSync(join(project, "never"))).toBe(false);
    const nameless = await craft(["merge", "--adapter", "foreign", "--output", "never"], { cwd: project });
    expect(nameless.stderr).toContain("error: --model: is missing, and the adapter does not say which model");
  });
});
