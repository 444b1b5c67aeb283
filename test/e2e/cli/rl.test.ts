/** @file `craft grpo` and `craft ppo`, from a run file to a trained model. */
import { cpSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { AutoModelForSequenceClassification } from "../../../src/models/index.js";
import { craft, makeProject, onlyObject, readLog, writeJsonl, writeRunFile } from "./craft.js";

let project: string;
beforeAll(async () => {
  project = await makeProject();
  writeJsonl(join(project, "prompts.jsonl"), [
    { prompt: "one two", answer: "three", limit: 3 },
    { prompt: "hello", answer: "world", limit: 5 },
    { prompt: "a b", answer: "c", limit: 9 },
    { prompt: "x", answer: "y", limit: 1 },
  ]);
  writeJsonl(join(project, "pairs.jsonl"), [
    { en: "one", es: "uno" },
    { en: "two", es: "dos" },
    { en: "three", es: "tres" },
  ]);
  writeFileSync(
    join(project, "rewards.mjs"),
    "export const shortness = ({ completionIds }) => completionIds.map((ids) => -ids.length);\nexport const broken = () => [1];\n",
  );
  writeFileSync(
    join(project, "limits.ts"),
    `interface Input { readonly texts: readonly string[]; readonly columns: Record<string, readonly unknown[]> }
export function nearLimit({ texts, columns }: Input): number[] {
  return texts.map((text, i): number => -Math.abs(text.length - Number(columns["limit"]![i])));
}
`,
  );
  const classifier = await AutoModelForSequenceClassification.fromPretrained(join(project, "model"), {
    dtype: "float32",
  });
  cpSync(join(project, "model"), join(project, "judge"), { recursive: true });
  classifier.savePretrained(join(project, "judge"));
  classifier.dispose();
});

const common = {
  model_name_or_path: "model",
  train_dataset: "prompts.jsonl",
  output_dir: "out",
  per_device_train_batch_size: 4,
  max_steps: 2,
  learning_rate: 0.01,
  logging_steps: 1,
  save_strategy: "no",
  dtype: "float32",
  use_peft: true,
  lora_r: 4,
  lora_target_modules: ["q_proj", "v_proj"],
};

async function run(command: string, name: string, options: object, ...more: readonly string[]) {
  writeRunFile(join(project, `${name}.yaml`), { ...common, output_dir: name, ...options });
  return craft([command, "--config", `${name}.yaml`, "--json", ...more], { cwd: project });
}

describe("craft grpo", () => {
  it("trains on built-in rewards, on functions of modules in JavaScript and TypeScript, and logs completions", async () => {
    const { code, stdout, stderr } = await run("grpo", "rewards", {
      num_generations: 2,
      max_completion_length: 5,
      reward_funcs: [
        "exact_answer",
        { name: "length", max: 3, margin: 4 },
        "rewards.mjs#shortness",
        "limits.ts",
      ],
      reward_weights: [1, 0.5, 0.1, 0.2],
      log_completions: true,
    });
    expect(stderr).not.toContain("error:");
    expect(code).toBe(0);
    expect(onlyObject(stdout)).toMatchObject({ global_step: 2, output_dir: "rewards" });
    expect(stderr).toContain("completions after step 0:");
    const [first] = readLog(join(project, "rewards"));
    for (const reward of ["exact_answer", "length", "shortness", "nearLimit"])
      expect(first).toHaveProperty([`rewards/${reward}/mean`]);
    expect(existsSync(join(project, "rewards", "adapter_model.safetensors"))).toBe(true);
    expect(readdirSync(join(project, "rewards", "completions"))).toHaveLength(2);
    expect(readdirSync(project).filter((name) => name.startsWith(".limits"))).toEqual([]);
  });

  it("runs with CRAFT where contrastive data is given", async () => {
    const { code, stderr } = await run("grpo", "craft", {
      num_generations: 2,
      max_completion_length: 4,
      reward_funcs: "contrastive",
      contrastive_dataset: "pairs.jsonl",
      contrastive_columns: { anchor: "en", positive: "es" },
      craft_alpha: 0.7,
      craft_contrastive_batch_size: 3,
    });
    expect(stderr).not.toContain("error:");
    expect(code).toBe(0);
    const [first] = readLog(join(project, "craft"));
    expect(first).toHaveProperty(["loss/craft_grpo"]);
    expect(first).toHaveProperty(["loss/craft_contrast"]);
    expect(first).toHaveProperty(["rewards/contrastive/mean"]);
  });

  it.each<[string, object, string]>([
    ["no reward", {}, "reward_funcs: is missing, and without rewards there is nothing to learn."],
    [
      "an unknown reward",
      { reward_funcs: "exact" },
      "reward_funcs = exact: is neither a built-in reward nor a module that exists.",
    ],
    [
      "an export that is not there",
      { reward_funcs: "rewards.mjs#longness" },
      "exports no reward longness; its exports are broken, shortness.",
    ],
    [
      "an unknown option of a reward",
      { reward_funcs: { name: "length", most: 3 } },
      "reward length, option most: there is no such option.",
    ],
    [
      "an unknown option",
      { reward_funcs: "format", num_generatoins: 2 },
      "GRPOConfig, option num_generatoins: there is no such option.",
    ],
    [
      "CRAFT's options without contrastive data",
      { reward_funcs: "format", craft_alpha: 0.2 },
      "craft_alpha = 0.2: has no effect, since there is no contrastive data.",
    ],
  ])("refuses %s", async (_, options, message) => {
    const { code, stderr } = await run("grpo", "refused", { num_generations: 2, ...options });
    expect(code).toBe(1);
    expect(stderr).toContain(`error: `);
    expect(stderr).toContain(message);
  });

  it("shows a run without training", async () => {
    const { code, stdout } = await run(
      "grpo",
      "dry",
      { reward_funcs: "format", num_generations: 2, max_completion_length: 7 },
      "--dry-run",
    );
    expect(code).toBe(0);
    const shown = onlyObject(stdout);
    expect(shown).toMatchObject({ command: "grpo", config: { max_completion_length: 7, loss_type: "dapo" } });
    expect(JSON.stringify(shown["sample"])).toContain("<|bos|>one two");
    expect(existsSync(join(project, "dry"))).toBe(false);
  });

  it("stops with a checkpoint where rewards fail for good, and says how to go on", async () => {
    const { code, stderr } = await run("grpo", "failing", {
      num_generations: 2,
      max_completion_length: 3,
      max_steps: 9,
      save_strategy: "steps",
      reward_funcs: "rewards.mjs#broken",
    });
    expect(code).toBe(1);
    expect(stderr).toContain("reward broken returned 1 rewards for 4 completions");
    expect(stderr).toContain("error: rewards: for failures no completion of the last 3 batches has got any");
    expect(stderr).toContain("Go on with: craft grpo --config failing.yaml --resume");
  });
});

describe("craft ppo", () => {
  it("trains with a reward model, and saves the value head", async () => {
    const { code, stdout, stderr } = await run("ppo", "ppo", {
      reward_model_path: "judge",
      response_length: 5,
      num_ppo_epochs: 2,
    });
    expect(stderr).not.toContain("error:");
    expect(code).toBe(0);
    expect(onlyObject(stdout)).toMatchObject({ global_step: 2 });
    expect(existsSync(join(project, "ppo", "modules.safetensors"))).toBe(true);
    const [first] = readLog(join(project, "ppo"));
    expect(first).toHaveProperty(["rewards/judge/mean"]);
    expect(first).toHaveProperty(["objective/kl"]);
  });
});
