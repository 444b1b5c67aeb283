/** @file Where a CRAFT run's batches may come from: loaders and factories of the user's own, columns of other names. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  CRAFTCollator,
  CRAFTSFTConfig,
  CRAFTSFTTrainer,
  craftPresets,
  type CRAFTSFTOptions,
  type CraftLoaderContext,
} from "../../../src/craft/index.js";
import { DataLoader, Dataset } from "../../../src/data/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { pairRows, readLog, sftRows, temporaryFolders, tinyModel } from "../training/tiny.js";
import { craftTrainer, strategies, train as trainIn, type TrainedRun } from "./trainer_runs.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();
const train = (...run: TrainedRun) => trainIn(newFolder, ...run);

/** The loader that a trainer would make of pairs, but for the order, which is the rows' own. */
const pairLoader = (rows = pairRows(10)) =>
  new DataLoader({
    dataset: Dataset.fromArray(rows, { name: "own pairs" }),
    batchSize: 5,
    collate: new CRAFTCollator({ maxLength: 1024 }).collatePairs,
    shuffle: false,
  });

async function refusal(options: CRAFTSFTOptions, more: TrainedRun[1]): Promise<string> {
  const model = await tinyModel();
  try {
    await craftTrainer(model, newFolder(), options, more).train();
    return "it ran";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    model.dispose();
  }
}

describe("loaders of one's own", () => {
  it("give the batches: the same run from a loader as from a factory that makes it", async () => {
    const seen: CraftLoaderContext[] = [];
    const plain = await train({});
    const loader = await train({}, { craftContrastiveLoader: pairLoader() });
    const factory = await train(
      {},
      {
        craftLoaderFactory: (context) => {
          seen.push(context);
          const sft = new DataLoader({
            dataset: context.sftDataset,
            batchSize: context.batchSize,
            collate: context.collator.collateSft,
            seed: context.seed,
          });
          return { sft, contrastive: pairLoader() };
        },
      },
    );
    expect(
      seen.map(({ strategy, batchSize, contrastiveBatchSize }) => [
        strategy,
        batchSize,
        contrastiveBatchSize,
      ]),
    ).toEqual([["paired_dataset", 4, 4]]);
    expect(factory.log).toEqual(loader.log);
    expect(factory.weights).toEqual(loader.weights);
    // The SFT side is the trainer's own in all three runs, the pairs are others.
    expect(loader.log[0]!["loss/craft_sft"]).toBeCloseTo(plain.log[0]!["loss/craft_sft"]!, 6);
    expect(loader.log[0]!["loss/craft_contrast"]).not.toBeCloseTo(plain.log[0]!["loss/craft_contrast"]!, 3);
    expect(new Set(loader.counts.slice(2)).size).toBe(1);
  });

  it("are refused beside a factory, and a factory that gives something else", async () => {
    const craftLoaderFactory = () => ({ sft: pairLoader() }) as never;
    expect(await refusal({}, { craftLoaderFactory, craftContrastiveLoader: pairLoader() })).toBe(
      "craftLoaderFactory: is given beside craftContrastiveLoader. Give one of both.",
    );
    expect(await refusal({}, { craftLoaderFactory })).toBe(
      "craftLoaderFactory, contrastive: is no loader: { length, state, restore } to iterate over.",
    );
    expect(await refusal({}, { craftLoaderFactory: () => undefined as never })).toContain(
      "must return { sft, contrastive }",
    );
    expect(
      await refusal({ craftLengthStrategy: "error" }, { craftContrastiveLoader: pairLoader() }),
    ).toContain("there are 4 SFT batches and 2 contrastive batches");
  });
});

describe("columns of other names", () => {
  it("of pairs and of rows that are their own pairs", async () => {
    const renamed = pairRows(10).map(({ input_ids: en, input_ids_tgt: es }) => ({ en, es }));
    const keys = { craft_contrastive_keys: { anchor_input_ids: "en", positive_input_ids: "es" } };
    const options = new CRAFTSFTConfig(keys).values.craftContrastiveKeys;
    const plain = await train({});
    const other = await train({ craftContrastiveKeys: { ...options } }, { contrastiveDataset: renamed });
    expect(other.log).toEqual(plain.log);
    const self = { craftStrategy: "self_align" } as const;
    const rows = sftRows(16).map(({ input_ids: ids, labels: targets }) => ({ ids, targets }));
    const named = { anchorInputIds: "ids", anchorLabels: "targets" };
    const own = await train({ ...self, craftContrastiveKeys: named }, { trainDataset: rows });
    expect(own.log).toEqual((await train(self)).log);
  });

  it("are told to the trainer, not to its collator, and views to both alike", async () => {
    const dataCollator = new CRAFTCollator({ keys: { anchorInputIds: "en" } });
    expect(await refusal({}, { dataCollator })).toContain("Name them in craft_contrastive_keys.");
    const masks = new CRAFTCollator({ assistantMaskKey: "said" });
    expect(await refusal({}, { dataCollator: masks })).toContain("Name it in craft_assistant_mask_key.");
    const views = new CRAFTCollator({ selfAlignViews: "full_response" });
    expect(await refusal({ craftStrategy: "self_align" }, { dataCollator: views })).toContain(
      'option selfAlignViews = full_response: the trainer\'s options say "prompt_response".',
    );
  });
});

describe("what a log entry says", () => {
  it("is what craft_report_metrics names, and with craft_debug memory too", async () => {
    const options = { craftReportMetrics: ["temperature" as const], craftDebug: true, maxSteps: 2 };
    const notices: string[] = [];
    const model = await tinyModel();
    const outputDir = newFolder();
    const trainer = craftTrainer(model, outputDir, options, {
      callbacks: [{ onNotice: (notice) => notices.push(notice) }],
    });
    await trainer.train();
    const [entry] = readLog(outputDir);
    const told = Object.keys(entry!).filter((name) => /^(metrics|debug|grad_norm\/)/.test(name));
    expect(told.sort()).toEqual(["debug/live_tensors", "debug/resident_mib", "metrics/craft_temperature"]);
    expect(entry!["debug/live_tensors"]).toBeGreaterThan(20);
    expect(notices[0]).toMatch(/^craft_alpha +0\.6 +default$/m);
    trainer.infoNCE.dispose();
    model.dispose();
  });
});

describe("presets", () => {
  const cases = craftPresets.flatMap((preset) =>
    strategies.map((craftStrategy) => ({ preset, craftStrategy })),
  );
  it.each(cases)("$preset runs with $craftStrategy", async ({ preset, craftStrategy }) => {
    const outputDir = newFolder();
    const model = await tinyModel();
    const common = { craftStrategy, craftProjectionDim: 8, perDeviceTrainBatchSize: 5, maxSteps: 3 };
    const trainer = new CRAFTSFTTrainer({
      model,
      args: CRAFTSFTConfig.fromPreset(preset, { outputDir, ...common, loggingSteps: 1, disableTqdm: true }),
      trainDataset: sftRows(16),
      ...(craftStrategy === "self_align" ? {} : { contrastiveDataset: pairRows(10) }),
    });
    await trainer.train();
    const losses = readLog(outputDir).map((entry) => entry["loss/craft_contrast"]);
    expect(losses).toHaveLength(3);
    expect(losses.every(Number.isFinite)).toBe(true);
    trainer.infoNCE.dispose();
    model.dispose();
  });
});

describe("cls", () => {
  it("is refused where all texts begin with the same token, since all vectors would be identical", async () => {
    const begin = pairRows(10).map(({ input_ids: a, input_ids_tgt: b }) => ({
      input_ids: [1, ...a],
      input_ids_tgt: [1, ...b],
    }));
    expect(await refusal({ craftPooling: "cls" }, { contrastiveDataset: begin })).toBe(
      "craft_pooling = cls: every text of contrastive_dataset begins with the token 1, and the model has seen no other there: all vectors would be identical. Use craft_pooling last_token or mean.",
    );
    expect(await refusal({ craftPooling: "cls" }, {})).toBe("it ran");
  });
});
