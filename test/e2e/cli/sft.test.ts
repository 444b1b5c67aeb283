/** @file From a run file to a trained model, and on to text and scores. */
import { copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  craft,
  craftJson,
  makeProject,
  newFolder,
  onlyObject,
  readLog,
  tensorsOf,
  trainRows,
  writeJsonl,
  writeRunFile,
} from "./craft.js";

const lora = {
  model_name_or_path: "model",
  train_dataset: "train.jsonl",
  eval_dataset: "dev.jsonl",
  output_dir: "out",
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: 8,
  learning_rate: 0.01,
  max_length: 64,
  use_peft: true,
  lora_r: 4,
  lora_alpha: 8,
  lora_target_modules: ["q_proj", "v_proj"],
  logging_steps: 1,
  save_steps: 4,
  eval_strategy: "steps",
  eval_steps: 4,
  dtype: "float32",
  seed: 42,
};

let project: string;
beforeAll(async () => {
  project = await makeProject();
});

const evaluate = (cwd: string, ...more: readonly string[]): Promise<Record<string, unknown>> =>
  craftJson(["eval", "--model", "model", "--dataset", "whole.jsonl", "--dtype", "float32", ...more], { cwd });

describe("craft sft with LoRA", () => {
  beforeAll(async () => {
    writeRunFile(join(project, "lora.yaml"), lora);
    writeJsonl(
      join(project, "whole.jsonl"),
      trainRows.map(({ prompt, completion }) => ({ text: prompt + completion })),
    );
    const { code, stdout, stderr } = await craft(["sft", "--config", "lora.yaml", "--json"], {
      cwd: project,
    });
    expect(stderr + stdout).not.toContain("error:");
    expect(code).toBe(0);
    expect(onlyObject(stdout)).toMatchObject({ global_step: 8, output_dir: "out" });
  });

  it("writes an adapter in PEFT's format with the run's settings", () => {
    const config = JSON.parse(readFileSync(join(project, "out/adapter_config.json"), "utf8")) as object;
    expect(config).toMatchObject({
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      r: 4,
      lora_alpha: 8,
      target_modules: ["q_proj", "v_proj"],
    });
    const layer = (i: number, name: string, out: number): [string, object][] => [
      [
        `base_model.model.model.layers.${i}.self_attn.${name}.lora_A.weight`,
        { dtype: "F32", shape: [4, 32] },
      ],
      [
        `base_model.model.model.layers.${i}.self_attn.${name}.lora_B.weight`,
        { dtype: "F32", shape: [out, 4] },
      ],
    ];
    const expected = [0, 1].flatMap((i) => [...layer(i, "q_proj", 32), ...layer(i, "v_proj", 16)]);
    expect(tensorsOf(join(project, "out/adapter_model.safetensors"))).toEqual(Object.fromEntries(expected));
  });

  it("logs each step, and evaluates and saves when it was told to", () => {
    const log = readLog(join(project, "out"));
    const steps = log.filter((entry) => "loss" in entry);
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const entry of steps)
      for (const name of ["epoch", "loss", "grad_norm", "learning_rate", "step_time", "tokens_per_second"])
        expect(entry[name], `${name} of step ${entry["step"]}`).toSatisfy(Number.isFinite);
    // Linear decay without warm-up: step k of 8 uses 0.01 (1 - (k - 1) / 8).
    steps.forEach(({ learning_rate }, i) => expect(learning_rate).toBeCloseTo(0.01 * (1 - i / 8), 12));
    expect(log.filter((entry) => "eval_loss" in entry).map(({ step }) => step)).toEqual([4, 8]);
    expect(
      readdirSync(join(project, "out"))
        .filter((name) => name.startsWith("checkpoint-"))
        .sort(),
    ).toEqual(["checkpoint-4", "checkpoint-8"]);
  });

  it("has learned: the adapter lowers the loss of craft eval, and an untrained one would not", async () => {
    const base = await evaluate(project);
    const tuned = await evaluate(project, "--adapter", "out");
    const halfway = await evaluate(project, "--adapter", "out/checkpoint-4");
    expect(tuned["tokens"]).toBe(base["tokens"]);
    // A model that knows nothing has about ln 640 = 6.46.
    expect(base["loss"]).toBeGreaterThan(6);
    expect(tuned["loss"]).toBeLessThan((base["loss"] as number) - 0.05);
    expect(halfway["loss"]).toBeGreaterThan(tuned["loss"] as number);
  });

  it("goes on after a kill as if there had been none", async () => {
    const folder = newFolder();
    for (const name of ["train.jsonl", "dev.jsonl", "lora.yaml"])
      copyFileSync(join(project, name), join(folder, name));
    const args = [
      "sft",
      "--config",
      "lora.yaml",
      "--model_name_or_path",
      join(project, "model"),
      "--save_steps",
      "2",
    ];
    const killed = await craft(args, {
      cwd: folder,
      killWhen: () => existsSync(join(folder, "out/checkpoint-2")),
    });
    expect(killed.stdout).toBe("");
    const output = await craftJson([...args, "--resume"], { cwd: folder });
    expect(output["global_step"]).toBe(8);
    const weights = (run: string): Buffer => readFileSync(join(run, "out/adapter_model.safetensors"));
    expect(weights(folder).equals(weights(project))).toBe(true);
  });
});

describe("craft sft that is interrupted", () => {
  it.skipIf(process.platform === "win32").each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("by %s ends with %i, says how to go on, and then goes on exactly", async (signal, expected) => {
    const folder = newFolder();
    for (const name of ["train.jsonl", "dev.jsonl", "lora.yaml"])
      copyFileSync(join(project, name), join(folder, name));
    const args = ["sft", "--config", "lora.yaml", "--model_name_or_path", join(project, "model")];
    const long = ["--max_steps", "400", "--lr_scheduler_type", "constant", "--save_steps", "400"];
    const log = join(folder, "out/log.jsonl");
    const stopped = await craft([...args, ...long], {
      cwd: folder,
      killWhen: () => existsSync(log) && readFileSync(log, "utf8").includes("loss"),
      signal,
    });
    expect(stopped.code, stopped.stderr).toBe(expected);
    const [, step] =
      /Stopped after step (\d+); out\/checkpoint-\d+ has all of it\. Go on with: craft sft --config lora\.yaml .* --resume\n$/.exec(
        stopped.stderr,
      ) ?? [];
    expect(step, stopped.stderr).toBeDefined();
    const end = String(Number(step) + 2);
    const rest = ["--max_steps", end, "--lr_scheduler_type", "constant", "--save_steps", "400"];
    await craftJson([...args, ...rest, "--resume"], { cwd: folder });
    await craftJson([...args, ...rest, "--output_dir", "through"], { cwd: folder });
    const weights = (run: string): Buffer => readFileSync(join(folder, run, "adapter_model.safetensors"));
    expect(weights("out").equals(weights("through"))).toBe(true);
  });
});

describe("craft sft of all weights", () => {
  it("learns the rows by heart, so that craft generate says them", async () => {
    writeRunFile(join(project, "full.yaml"), {
      ...lora,
      output_dir: "full",
      use_peft: false,
      lora_r: undefined,
      lora_alpha: undefined,
      lora_target_modules: undefined,
      per_device_train_batch_size: 8,
      gradient_accumulation_steps: 1,
      max_steps: 120,
      save_steps: 120,
      eval_steps: 120,
    });
    await craftJson(["sft", "--config", "full.yaml"], { cwd: project });
    const names = readdirSync(join(project, "full"));
    expect(names).toEqual(
      expect.arrayContaining(["model.safetensors", "config.json", "tokenizer.json", "log.jsonl"]),
    );
    for (const { prompt, completion } of [trainRows[0]!, trainRows[5]!]) {
      const generated = await craftJson(
        ["generate", "--model", "full", "--prompt", prompt, "--max-new-tokens", "16", "--dtype", "float32"],
        { cwd: project },
      );
      expect(generated["text"]).toBe(completion);
    }
  });
});
