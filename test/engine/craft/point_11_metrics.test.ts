/** @file Point 11 of the semantics: what a log entry says, from the first step on. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadTorch } from "../../../src/torch/torch.js";
import { temporaryFolders } from "../training/tiny.js";
import { strategies, train as trainIn, type TrainedRun } from "./trainer_runs.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const train = (...run: TrainedRun) => trainIn(newFolder, ...run);

describe.each(strategies)("a run with %s", (craftStrategy) => {
  it("logs every measure from the first step on", async () => {
    const { log } = await train({ craftStrategy, numTrainEpochs: 2, maxSteps: -1 });
    expect(Object.keys(log[0]!).sort()).toEqual(
      [
        "epoch",
        "grad_norm",
        "grad_norm/contrastive",
        "grad_norm/sft",
        "learning_rate",
        "loss",
        "loss/craft_contrast",
        "loss/craft_sft",
        "loss/craft_total",
        "metrics/craft_contrastive_accuracy",
        "metrics/craft_representation_consistency",
        "metrics/craft_temperature",
        "step",
      ].sort(),
    );
    for (const entry of log) {
      for (const [name, value] of Object.entries(entry)) expect(value, name).toSatisfy(Number.isFinite);
      const { "metrics/craft_contrastive_accuracy": accuracy, "metrics/craft_temperature": temperature } =
        entry;
      expect(accuracy).toBeGreaterThanOrEqual(0);
      expect(accuracy).toBeLessThanOrEqual(1);
      expect(temperature).toBeCloseTo(0.05, 6);
      const {
        "loss/craft_sft": sft,
        "loss/craft_contrast": contrast,
        "loss/craft_total": total,
        loss,
      } = entry;
      expect(total).toBeCloseTo(0.6 * sft! + 0.4 * contrast!, 9);
      expect(loss).toBeCloseTo(total!, 9);
    }
    expect(log.map(({ step }) => step)).toEqual(log.map((_, i) => i + 1));
    expect(log.at(-1)!["epoch"]).toBeCloseTo(2, 9);
    expect(
      Math.min(...log.map((entry) => entry["metrics/craft_representation_consistency"]!)),
    ).toBeGreaterThan(-1);
  });

  it("averages what it logs over the steps since the last entry", async () => {
    const { log: each } = await train({ craftStrategy });
    const { log: pairs } = await train({ craftStrategy, loggingSteps: 2 });
    expect(pairs.map(({ step }) => step)).toEqual([2, 4]);
    for (const [i, entry] of pairs.entries()) {
      const [a, b] = [each[2 * i]!, each[2 * i + 1]!];
      expect(entry["loss"]).toBeCloseTo((a["loss"]! + b["loss"]!) / 2, 9);
      expect(entry["grad_norm"]).toBe(b["grad_norm"]);
      // Self-align forms the tasks' gradients by themselves in the first step of an entry only.
      for (const name of ["grad_norm/sft", "grad_norm/contrastive"])
        if (craftStrategy === "self_align") expect(entry[name]).toBe(a[name]);
        else expect(entry[name]).toBeCloseTo((a[name]! + b[name]!) / 2, 9);
      const [low, high] = [a, b].map((e) => e["loss/craft_contrast"]!).sort((x, y) => x - y);
      expect(entry["loss/craft_contrast"]).toBeGreaterThanOrEqual(low!);
      expect(entry["loss/craft_contrast"]).toBeLessThanOrEqual(high!);
    }
  });
});
