/** @file ORPOTrainer and RewardTrainer against TRL's (parity/preferences.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { AutoModelForSequenceClassification } from "../../../src/models/index.js";
import { ORPOConfig, ORPOTrainer, RewardConfig, RewardTrainer } from "../../../src/trainers/index.js";
import { HostTensor } from "../../../src/tensor/index.js";
import { liveTensors, loadTorch } from "../../../src/torch/index.js";
import { inOrder, modelFolder, temporaryFolders, tinyModel } from "../training/tiny.js";
import { common, expectLog, rows, runs } from "./trl.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();
const kinds = (kind: string) =>
  runs.filter((run) => run.kind === kind).flatMap((run) => [true, false].map((share) => ({ run, share })));
const quiet = { loggingSteps: 1, saveStrategy: "no", disableTqdm: true } as const;
const seed = 3;

describe("ORPOTrainer against TRL", () => {
  it.each(kinds("orpo"))("$run.name, prompts shared: $share", async ({ run, share }) => {
    const live = liveTensors();
    const [model, outputDir] = [await tinyModel(), newFolder()];
    const args = new ORPOConfig({ ...common, ...run.args, ...quiet, seed, outputDir, sharePrompts: share });
    await new ORPOTrainer({ model, args, trainDataset: inOrder(rows, seed) }).train();
    const rewards = ["chosen", "rejected", "margins", "accuracies"].map((name) => `rewards/${name}`);
    const more = ["logps/chosen", "logps/rejected", "nll_loss", "log_odds_ratio", "log_odds_chosen"];
    expectLog(outputDir, run, ["loss", "grad_norm", ...rewards, ...more]);
    model.dispose();
    expect(liveTensors()).toBe(live);
  });
});

describe("RewardTrainer against TRL", () => {
  it.each(kinds("reward"))("$run.name, beginnings shared: $share", async ({ run, share }) => {
    const live = liveTensors();
    const outputDir = newFolder();
    const model = await AutoModelForSequenceClassification.fromPretrained(modelFolder, { dtype: "float32" });
    const { shape } = model.score.weight;
    const head = Array.from({ length: shape[1]! }, (_, i) => Math.sin(i));
    model.score.weight.set(new HostTensor(head, shape, "float32").upload());
    const args = new RewardConfig({ ...common, ...run.args, ...quiet, seed, outputDir, sharePrompts: share });
    const whole = rows.map(({ prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected }, i) => ({
      chosen_ids: [...prompt, ...chosen],
      rejected_ids: [...prompt, ...rejected],
      ...(run.margins === true ? { margin: 0.1 * (i % 3) } : {}),
    }));
    await new RewardTrainer({ model, args, trainDataset: inOrder(whole, seed) }).train();
    const names = ["min_reward", "mean_reward", "max_reward", "accuracy", "margin"];
    expectLog(outputDir, run, ["loss", "grad_norm", ...names]);

    // What was saved scores as what was trained.
    const texts = whole.slice(0, 3).map(({ chosen_ids: ids }) => ids);
    const again = await AutoModelForSequenceClassification.fromPretrained(outputDir, { dtype: "float32" });
    expect(again.scoreWasStored).toBe(true);
    expect(await again.predict(texts)).toEqual(await model.predict(texts));
    const config = JSON.parse(readFileSync(join(outputDir, "config.json"), "utf8")) as object;
    expect(config).toMatchObject({ architectures: ["LlamaForSequenceClassification"] });
    for (const one of [again, model]) one.dispose();
    expect(liveTensors()).toBe(live);
  });
});
