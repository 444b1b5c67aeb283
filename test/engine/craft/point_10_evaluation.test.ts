/** @file Point 10 of the semantics, evaluation: it does not depend on alpha, and reports pairs. */
import { beforeAll, describe, expect, it } from "vitest";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { modelFolder, pairRows, sftRows, temporaryFolders, tinyModel } from "../training/tiny.js";
import { craftTrainer, train as trainIn, type TrainedRun } from "./trainer_runs.js";
import { Reference } from "./trainer_reference.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const train = (...run: TrainedRun) => trainIn(newFolder, ...run);

describe("evaluation", () => {
  const evalRows = sftRows(7, 5, 9, 77);
  const evalPairs = pairRows(8, 3, 7, 78);

  it("gives the mean over labels, whatever alpha is", async () => {
    const losses: number[] = [];
    for (const craftAlpha of [0, 0.25, 0.9, 1]) {
      const model = await tinyModel();
      const trainer = craftTrainer(model, newFolder(), { craftAlpha }, { evalDataset: evalRows });
      losses.push((await trainer.evaluate())["eval_loss"]!);
      model.dispose();
    }
    expect(new Set(losses).size).toBe(1);
    const model = await tinyModel();
    const trainer = craftTrainer(model, newFolder(), {}, { evalDataset: evalRows });
    await trainer.evaluate();
    const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
    const reference = new Reference(wide, trainer.infoNCE);
    const { sum, weight } = await reference.tokens(evalRows);
    expect(losses[0]).toBeCloseTo(sum / weight, 5);
    reference.dispose();
    for (const each of [wide, model]) each.dispose();
  });

  it("reports pairs too, and leaves what is trained as it was", async () => {
    const more = { evalDataset: evalRows, contrastiveEvalDataset: evalPairs };
    const evaluated = await train({ evalStrategy: "steps", evalSteps: 2, perDeviceEvalBatchSize: 4 }, more);
    const plain = await train({});
    expect(evaluated.weights).toEqual(plain.weights);
    const entries = evaluated.log.filter((entry) => "eval_loss" in entry);
    expect(entries.map(({ step }) => step)).toEqual([2, 4]);
    expect(evaluated.log.filter((entry) => !("eval_loss" in entry))).toEqual(plain.log);
    for (const entry of entries) {
      expect(Object.keys(entry).sort()).toEqual([
        "epoch",
        "eval_contrastive_loss",
        "eval_loss",
        "eval_metrics/craft_alignment",
        "eval_metrics/craft_contrastive_accuracy",
        "eval_metrics/craft_mean_reciprocal_rank",
        "eval_metrics/craft_uniformity",
        "step",
      ]);
      const rank = entry["eval_metrics/craft_mean_reciprocal_rank"]!;
      expect(rank).toBeGreaterThanOrEqual(entry["eval_metrics/craft_contrastive_accuracy"]!);
      expect(rank).toBeLessThanOrEqual(1);
      expect(rank).toBeGreaterThanOrEqual(1 / 4);
      expect(entry["eval_metrics/craft_uniformity"]).toBeLessThanOrEqual(0);
      expect(entry["eval_metrics/craft_alignment"]).toBeLessThanOrEqual(4);
    }
  });

  it("gives the mean contrastive loss over pairs", async () => {
    const model = await tinyModel();
    const trainer = craftTrainer(
      model,
      newFolder(),
      { craftTemperature: 0.5, craftContrastiveBatchSize: 4 },
      { contrastiveEvalDataset: evalPairs },
    );
    const { eval_contrastive_loss: loss } = await trainer.evaluate();
    const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
    const reference = new Reference(wide, trainer.infoNCE);
    const side = (ids: readonly number[]) => ({ ids, place: ids.length - 1 });
    const batches = [evalPairs.slice(0, 4), evalPairs.slice(4)].map((batch) =>
      batch.map((pair) => [side(pair.input_ids), side(pair.input_ids_tgt)] as const),
    );
    const totals = [await reference.pairs(batches[0]!), await reference.pairs(batches[1]!)];
    expect(loss).toBeCloseTo((totals[0]!.sum + totals[1]!.sum) / 8, 5);
    reference.dispose();
    for (const each of [wide, model]) each.dispose();
  });
});
