/** @file Runs by ids of a hub: a model, a dataset and an adapter that are on no disk yet. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fakeHub, temporaryFolder } from "../../pure/hub/fake_hub.js";
import { craft, craftJson, root, writeRunFile } from "./craft.js";

const filesOf = (folder: string): Record<string, Buffer> =>
  Object.fromEntries(
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => [name, readFileSync(join(folder, name))]),
  );
const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

it("trains on a dataset of the hub, evaluates on its test split, and generates with an adapter of the hub", async () => {
  const cwd = temporaryFolder();
  const model = {
    id: "org/base",
    files: { ...filesOf(join(root, "assets/demo")), "pytorch_model.bin": "unused" },
  };
  const dataset = {
    id: "org/rows",
    type: "dataset" as const,
    files: {
      "README.md":
        "---\nconfigs:\n- config_name: small\n  data_dir: small\n- config_name: large\n  data_dir: large\n---\n",
      "small/train.jsonl": lines(["one", "two", "three"].map((word) => ({ text: `The number is ${word}.` }))),
      "small/test.jsonl": lines([{ text: "The number is four." }]),
      "large/train.jsonl": "not to be read",
    },
  };
  const hub = await fakeHub(model, dataset);
  const home = join(cwd, "home");
  const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_HUB_CACHE: "", HF_HUB_OFFLINE: "0" };
  writeRunFile(join(cwd, "run.yaml"), {
    model_name_or_path: "org/base",
    model_revision: "main",
    train_dataset: "org/rows",
    dataset_config: "small",
    dataset_test_split: "test",
    eval_strategy: "steps",
    eval_steps: 2,
    output_dir: "out",
    max_steps: 2,
    learning_rate: 0.01,
    per_device_train_batch_size: 3,
    use_peft: true,
    lora_target_modules: ["q_proj"],
    save_strategy: "no",
    dtype: "float32",
  });
  await craftJson(["sft", "--config", "run.yaml"], { cwd, env });
  const log = readFileSync(join(cwd, "out/log.jsonl"), "utf8");
  expect(log).toMatch(/"eval_loss"/);
  const config = JSON.parse(readFileSync(join(cwd, "out/adapter_config.json"), "utf8")) as Record<
    string,
    unknown
  >;
  expect(config["base_model_name_or_path"]).toBe("org/base");
  const asked = hub.requests.map(({ path }) => path).join("\n");
  expect(asked).not.toMatch(/large\/|pytorch_model\.bin/);
  expect(existsSync(join(home, "hub/models--org--base/refs/main"))).toBe(true);

  // The adapter as another repository; what is cached needs no hub, and prompts no question.
  const second = await fakeHub({ id: "org/adapter", files: filesOf(join(cwd, "out")) }, model, dataset);
  const next = { ...env, HF_ENDPOINT: second.endpoint };
  const common = ["--model", "org/base", "--dtype", "float32"];
  const generate = ["generate", ...common, "--prompt", "The number is", "--max-new-tokens", "4"];
  const byId = await craftJson([...generate, "--adapter", "org/adapter"], { cwd, env: next });
  const byFolder = await craftJson([...generate, "--adapter", "out"], { cwd, env: next });
  expect(byId).toEqual(byFolder);
  const evaluate = [
    "eval",
    ...common,
    "--dataset",
    "org/rows",
    "--dataset-config",
    "small",
    "--split",
    "test",
  ];
  const offline = { cwd, env: { ...next, HF_HUB_OFFLINE: "1" } };
  second.requests.length = 0;
  const plain = await craftJson(evaluate, offline);
  const adapted = await craftJson([...evaluate, "--adapter", "org/adapter"], offline);
  expect(adapted["tokens"]).toBe(plain["tokens"]);
  expect(adapted["loss"]).not.toBe(plain["loss"]);
  expect(second.requests).toEqual([]);

  const wrong = await craft([...evaluate.slice(0, -1), "dev", "--json"], offline);
  expect(wrong.stdout).toBe("");
  expect(wrong.stderr).toMatch(
    /^error: split = dev: dataset org\/rows has no such split; it has train, test\.$/m,
  );
});
