/** @file What bad input gets: a message that names it, a failing exit code, nothing on stdout and nothing half-written. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { craft, makeProject, writeJsonl, writeRunFile, type Result } from "./craft.js";

let project: string;
const run = {
  model_name_or_path: "model",
  train_dataset: "train.jsonl",
  output_dir: "out",
  max_steps: 1,
  save_strategy: "no",
};
const pairs = { contrastive_dataset: "pairs.jsonl", contrastive_columns: { anchor: "en", positive: "es" } };

beforeAll(async () => {
  project = await makeProject();
  writeRunFile(join(project, "run.yaml"), run);
});

/** The parts that every error has: it is one of ours, says what it is about, and stdout stays empty. */
function expectError({ code, stdout, stderr }: Result, ...parts: readonly (string | RegExp)[]): void {
  expect(code, stderr).toBe(1);
  expect(stdout).toBe("");
  expect(stderr).toMatch(/^error: /m);
  expect(stderr).not.toMatch(/\n\s+at /);
  for (const part of parts) expect(stderr).toMatch(part);
}

const sft = (options: object, ...more: readonly string[]): Promise<Result> => {
  writeRunFile(join(project, "bad.yaml"), { ...run, ...options });
  return craft(["sft", "--config", "bad.yaml", "--json", ...more], { cwd: project });
};

describe("options", () => {
  it.each(["sft", "generate", "eval"])("%s without a required option", async (name) => {
    const { code, stdout, stderr } = await craft([name, "--json"], { cwd: project });
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/required option/);
  });

  it.each([
    ["generate", "--model", "model", "--prompt", "a"],
    ["eval", "--model", "model", "--dataset", "train.jsonl"],
    ["doctor"],
    ["install"],
    ["demo"],
  ])("%s with an unknown option", async (...args) => {
    const { code, stdout, stderr } = await craft([...args, "--no-such-option", "--json"], { cwd: project });
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain("--no-such-option");
  });

  it("an unknown option in a run file, with those that look like it", async () => {
    expectError(await sft({ learning_rat: 1 }), "learning_rat", "learning_rate");
    expect(existsSync(join(project, "out"))).toBe(false);
  });

  it("an unknown option on the command line of sft", async () => {
    expectError(await sft({}, "--max_stepz", "3"), "max_stepz", "max_steps");
  });

  it("an option given in both spellings", async () => {
    expectError(await sft({ maxSteps: 2 }), "max_steps", "twice");
  });

  it("alpha outside [0, 1]", async () => {
    expectError(await sft({ ...pairs, craft_alpha: 1.5 }), "craft_alpha", "1.5");
    expectError(await sft({ ...pairs, craft_alpha: -0.1 }), "craft_alpha", "-0.1");
  });

  it("CRAFT's options without contrastive data", async () => {
    expectError(await sft({ craft_alpha: 0.5 }), "craft_alpha", "contrastive_dataset");
  });

  it("a contrastive batch of one pair", async () => {
    const result = await sft({ ...pairs, craft_contrastive_batch_size: 1 });
    expectError(result, /contrastive/, "negatives");
  });

  it("LoRA on layers that the model does not have", async () => {
    const result = await sft({ use_peft: true, lora_target_modules: ["c_attn"], output_dir: "lora" });
    expectError(result, "c_attn", "q_proj");
  });
});

describe("files", () => {
  it("a run file that is missing, and one that is no mapping", async () => {
    expectError(await craft(["sft", "--config", "nowhere.yaml", "--json"], { cwd: project }), "nowhere.yaml");
    writeFileSync(join(project, "list.yaml"), "- a\n- b\n");
    expectError(
      await craft(["sft", "--config", "list.yaml", "--json"], { cwd: project }),
      "list.yaml",
      "mapping",
    );
  });

  it("a dataset and a model that are missing", async () => {
    expectError(await sft({ train_dataset: "nowhere.jsonl" }), "train_dataset", "nowhere.jsonl");
    expectError(await sft({ model_name_or_path: "org/model" }), "org/model", "not in the cache");
    expectError(await sft({ model_name_or_path: "./model2" }), "model_name_or_path", "no id of the hub");
    const args = ["--model", "nowhere", "--json"];
    expectError(await craft(["generate", "--prompt", "a", ...args], { cwd: project }), "nowhere");
    const dataset = ["--dataset", "train.jsonl", "--text-column", "prompt"];
    expectError(await craft(["eval", ...dataset, ...args], { cwd: project }), "nowhere");
    const model = ["--model", "model", "--dataset", "nowhere.jsonl", "--json"];
    expectError(await craft(["eval", ...model], { cwd: project }), "nowhere.jsonl");
    const adapter = ["--model", "model", "--adapter", "nowhere", "--prompt", "a", "--json"];
    expectError(await craft(["generate", ...adapter], { cwd: project }), "nowhere");
  });

  it("a row that is no JSON, with its line", async () => {
    const lines = readFileSync(join(project, "train.jsonl"), "utf8").split("\n");
    writeFileSync(
      join(project, "broken.jsonl"),
      [...lines.slice(0, 2), '{"prompt": "a', ...lines.slice(2)].join("\n"),
    );
    expectError(await sft({ train_dataset: "broken.jsonl", output_dir: "o1" }), /broken\.jsonl, line 3/);
  });

  it("a row without its column, an empty row, and a row with nothing to predict", async () => {
    const rows = [{ prompt: "a b", completion: " c" }, { prompt: "a b" }];
    writeJsonl(join(project, "column.jsonl"), rows);
    expectError(await sft({ train_dataset: "column.jsonl", output_dir: "o2" }), /line 2/, "completion");
    writeJsonl(join(project, "empty.jsonl"), [{ text: "a b c" }, { text: "" }]);
    expectError(await sft({ train_dataset: "empty.jsonl", output_dir: "o3" }), /line 2/, "empty");
    writeJsonl(join(project, "none.jsonl"), [{ input_ids: [5, 6, 7], labels: [-100, -100, -100] }]);
    expectError(await sft({ train_dataset: "none.jsonl", output_dir: "o4" }), /line 1/, "supervised");
  });

  it("pairs without the named column", async () => {
    const columns = { anchor: "en", positive: "fr" };
    expectError(
      await sft({ ...pairs, contrastive_columns: columns, output_dir: "o5" }),
      /pairs\.jsonl/,
      "fr",
    );
  });

  it("weights that are cut short, and a model_type that is not supported", async () => {
    const cut = join(project, "cut");
    cpSync(join(project, "model"), cut, { recursive: true });
    truncateSync(join(cut, "model.safetensors"), 4000);
    expectError(await sft({ model_name_or_path: "cut", output_dir: "o6" }), "model.safetensors");
    const other = join(project, "other");
    cpSync(join(project, "model"), other, { recursive: true });
    const config = JSON.parse(readFileSync(join(other, "config.json"), "utf8")) as object;
    writeFileSync(join(other, "config.json"), JSON.stringify({ ...config, model_type: "mamba" }));
    expectError(await sft({ model_name_or_path: "other", output_dir: "o7" }), "mamba", "llama");
  });

  it("a tokenizer with more tokens than the model has", async () => {
    const small = join(project, "small");
    cpSync(join(project, "model"), small, { recursive: true });
    const path = join(small, "tokenizer.json");
    const json = JSON.parse(readFileSync(path, "utf8")) as { added_tokens: object[] };
    const added = { id: 640, content: "<|beyond|>", single_word: false, lstrip: false, rstrip: false };
    json.added_tokens.push({ ...added, normalized: false, special: true });
    writeFileSync(path, JSON.stringify(json));
    writeJsonl(join(project, "beyond.jsonl"), [{ text: "a b c" }, { text: "a <|beyond|> c" }]);
    const result = await sft({
      model_name_or_path: "small",
      train_dataset: "beyond.jsonl",
      output_dir: "o8",
    });
    expectError(result, /beyond\.jsonl, line 2/, "640");
    const args = ["generate", "--model", "small", "--prompt", "a", "--json"];
    expectError(await craft(args, { cwd: project }), /tokenizer/, "640");
  });
});

describe("the output folder", () => {
  it("is left alone if it is not empty, unless --overwrite or --resume is given", async () => {
    mkdirSync(join(project, "full"));
    writeFileSync(join(project, "full/log.jsonl"), "kept\n");
    expectError(await sft({ output_dir: "full" }), "full", "--resume", "--overwrite");
    expect(readFileSync(join(project, "full/log.jsonl"), "utf8")).toBe("kept\n");
    expectError(await sft({ output_dir: "full" }, "--resume"), "checkpoint");
    expect((await sft({ output_dir: "full" }, "--overwrite")).code).toBe(0);
    expect(readFileSync(join(project, "full/log.jsonl"), "utf8")).not.toContain("kept");
  });

  it("is not cleared if it holds what no run writes", async () => {
    mkdirSync(join(project, "home"));
    writeFileSync(join(project, "home/thesis.txt"), "years of work\n");
    expectError(await sft({ output_dir: "home" }, "--overwrite"), "thesis.txt");
    expect(readdirSync(join(project, "home"))).toEqual(["thesis.txt"]);
  });

  it("must be a folder that can be made", async () => {
    writeFileSync(join(project, "file"), "");
    expectError(await sft({ output_dir: "file/out" }), "output_dir", "file/out");
  });
});

describe("a run that diverges", () => {
  it("stops at the step, says so, and leaves no model", async () => {
    const result = await sft({ learning_rate: 1e30, max_steps: 20, max_grad_norm: 0, output_dir: "nan" });
    expectError(result, "not finite", "learning_rate");
    expect(readdirSync(join(project, "nan"))).toEqual(["log.jsonl"]);
  });
});
