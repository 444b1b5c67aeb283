/** @file Models in 4 bits on the command line: written by `craft quantize`, trained, scored and merged. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  craft,
  craftJson,
  makeProject,
  readLog,
  tensorsOf,
  trainRows,
  writeJsonl,
  writeRunFile,
} from "./craft.js";

let project: string;
beforeAll(async () => {
  project = await makeProject();
  writeJsonl(
    join(project, "whole.jsonl"),
    trainRows.map(({ prompt, completion }) => ({ text: prompt + completion })),
  );
});

const run = (args: readonly string[]): ReturnType<typeof craft> => craft(args, { cwd: project });
const loss = async (...args: readonly string[]): Promise<number> => {
  const given = ["eval", "--dataset", "whole.jsonl", "--dtype", "float32", ...args];
  return Number((await craftJson(given, { cwd: project }))["loss"]);
};
const train = async (name: string, options: object): Promise<Record<string, number>[]> => {
  writeRunFile(join(project, `${name}.yaml`), {
    train_dataset: "train.jsonl",
    output_dir: name,
    max_steps: 3,
    learning_rate: 0.02,
    logging_steps: 1,
    use_peft: true,
    lora_r: 2,
    dtype: "float32",
    disable_tqdm: true,
    ...options,
  });
  const { code, stderr } = await run(["sft", "--config", `${name}.yaml`]);
  expect(stderr).not.toContain("error:");
  expect(code).toBe(0);
  return readLog(join(project, name)).map(({ loss, grad_norm }) => ({ loss: loss!, grad_norm: grad_norm! }));
};

describe("craft quantize", () => {
  it("writes a model that is trained and scored as the one that is quantised while it is read", async () => {
    const flags = ["--bnb-4bit-use-double-quant", "--max-shard-size", "20000"];
    const made = await craftJson(["quantize", "model", "small", ...flags], { cwd: project });
    expect(made).toMatchObject({ output: "small", quant_type: "nf4", layers: 14, dtype: "float32" });
    const names = readdirSync(join(project, "small"));
    expect(names).toEqual(
      expect.arrayContaining(["config.json", "model.safetensors.index.json", "tokenizer.json"]),
    );
    const config = JSON.parse(readFileSync(join(project, "small/config.json"), "utf8")) as Record<
      string,
      unknown
    >;
    expect(config["quantization_config"]).toMatchObject({
      quant_method: "bitsandbytes",
      load_in_4bit: true,
      bnb_4bit_quant_type: "nf4",
      bnb_4bit_use_double_quant: true,
    });
    const tensors = Object.assign(
      {},
      ...names
        .filter((name) => name.endsWith(".safetensors"))
        .map((name) => tensorsOf(join(project, "small", name))),
    ) as ReturnType<typeof tensorsOf>;
    expect(tensors["model.layers.1.mlp.up_proj.weight"]).toEqual({ dtype: "U8", shape: [1024, 1] });
    expect(tensors["model.norm.weight"]).toEqual({ dtype: "F32", shape: [32] });

    const whileReading = ["--model", "model", "--load-in-4bit", "--bnb-4bit-use-double-quant"];
    const quantised = await loss("--model", "small");
    expect(await loss(...whileReading)).toBe(quantised);
    expect(Math.abs((await loss("--model", "model")) - quantised)).toBeGreaterThan(1e-4);

    const options = { model_name_or_path: "model", load_in_4bit: true, use_bnb_nested_quant: true };
    const log = await train("loaded", options);
    expect(log).toHaveLength(3);
    expect(await train("stored", { model_name_or_path: "small" })).toEqual(log);
    const adapter = (folder: string): Buffer =>
      readFileSync(join(project, folder, "adapter_model.safetensors"));
    expect(adapter("stored").equals(adapter("loaded"))).toBe(true);

    const merged = ["merge", "--model", "small", "--adapter", "stored", "--output", "merged"];
    expect(await craftJson(merged, { cwd: project })).toMatchObject({ dtype: "float32" });
    const adapted = await loss("--model", "small", "--adapter", "stored");
    expect(Math.abs((await loss("--model", "merged")) - adapted)).toBeLessThan(1e-5);
    expect(Math.abs(adapted - quantised)).toBeGreaterThan(1e-3);
    expect(readFileSync(join(project, "merged/config.json"), "utf8")).not.toContain("quantization_config");
  });

  it("refuses what it cannot do, and leaves nothing behind", async () => {
    const errorOf = async (...args: readonly string[]): Promise<string> => {
      const { code, stderr } = await run(args);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await errorOf("quantize", "model", "model")).toBe(
      "error: OUTPUT = model: is not empty. Name a new folder.\n",
    );
    expect(await errorOf("quantize", "model", "never", "--llm-int8-skip-modules", "model")).toBe(
      'error: --llm-int8-skip-modules = ["model"]: leaves no layer to be put into 4 bits. Skip fewer.\n',
    );
    expect(
      await errorOf("generate", "--model", "model", "--prompt", "a", "--bnb-4bit-quant-type", "nf4"),
    ).toMatch(/^error: --bnb-4bit-quant-type = nf4: has no effect without --load-in-4bit\./);
    expect(existsSync(join(project, "never"))).toBe(false);
    writeRunFile(join(project, "full.yaml"), {
      model_name_or_path: "model",
      train_dataset: "train.jsonl",
      output_dir: "never",
      load_in_4bit: true,
    });
    expect(await errorOf("sft", "--config", "full.yaml")).toMatch(
      /^error: model = .*: cannot be trained whole: .* are in 4 bits\. Train adapters \(peftConfig, in run files use_peft: true\)/m,
    );
    expect(readdirSync(join(project, "never"))).toEqual([]);
  });
});
