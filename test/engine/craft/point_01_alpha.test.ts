/**
 * @file Point 1 of the semantics: the gradient of every optimiser step is alpha * g_sft + (1 - alpha) * g_contrastive.
 * In runs, with beta1 = 0 and no clipping, AdamW's first moment in a checkpoint is the gradient of its step; with a
 * learning rate of 0, all steps have the same weights. Windows of every kind are in point_01_windows.test.ts.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTSFTConfig, CRAFTSFTTrainer } from "../../../src/craft/index.js";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { SFTConfig, SFTTrainer } from "../../../src/trainers/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need } from "../fixtures.js";
import {
  modelFolder,
  numbersOf,
  pairRows,
  readLog,
  sftRows,
  temporaryFolders,
  tinyModel,
} from "../training/tiny.js";
import { expectStep, readableSteps } from "./readable_steps.js";
import { addTotals, Reference, type Total } from "./trainer_reference.js";
import { plainRow, sides, watched, type Kind, type Seen } from "./trainer_seen.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

interface Setting {
  readonly strategy: "paired_dataset" | "self_align";
  readonly accumulation: number;
  readonly alpha: number;
  /** Kinds of the micro-batches of each window. */
  readonly windows: readonly string[];
}

const settings: readonly Setting[] = [
  { strategy: "paired_dataset", accumulation: 1, alpha: 0.3, windows: ["sc", "sc", "sc", "sc"] },
  { strategy: "paired_dataset", accumulation: 2, alpha: 0.3, windows: ["sc", "sc", "sc", "sc"] },
  { strategy: "paired_dataset", accumulation: 5, alpha: 0.3, windows: ["ssscc", "sc"] },
  { strategy: "paired_dataset", accumulation: 2, alpha: 0, windows: ["sc", "sc", "sc", "sc"] },
  { strategy: "paired_dataset", accumulation: 2, alpha: 1, windows: ["sc", "sc", "sc", "sc"] },
  { strategy: "self_align", accumulation: 1, alpha: 0.3, windows: ["b", "b"] },
  { strategy: "self_align", accumulation: 2, alpha: 0.3, windows: ["sb", "b"] },
  { strategy: "self_align", accumulation: 5, alpha: 0.3, windows: ["ssb"] },
];
const letters: Readonly<Record<Kind, string>> = { sft: "s", contrastive: "c", self_align: "b" };

async function train({ strategy, accumulation, alpha }: Setting) {
  const seen: Seen[] = [];
  const windows: Seen[][] = [];
  const outputDir = newFolder();
  const model = await tinyModel();
  const trainer = new CRAFTSFTTrainer({
    model,
    args: new CRAFTSFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 2,
      craftContrastiveBatchSize: 3,
      gradientAccumulationSteps: accumulation,
      craftAlpha: alpha,
      craftBeta: 0.6,
      craftStrategy: strategy,
      craftProjectionDim: 8,
      craftTemperature: 0.5,
      ...readableSteps,
    }),
    trainDataset: sftRows(7, 6, 8),
    contrastiveDataset: strategy === "paired_dataset" ? pairRows(5, 4, 5) : undefined,
    dataCollator: watched(seen),
    callbacks: [{ onStepEnd: () => windows.push(seen.splice(0)) }],
  });
  await trainer.train();
  return { trainer, model, windows, outputDir };
}

/** Sums over the window of what each task's micro-batches come to. */
async function totals(
  reference: Reference,
  window: readonly Seen[],
): Promise<{ sft: Total; contrastive: Total }> {
  const sft: Total[] = [];
  const contrastive: Total[] = [];
  for (const batch of window) {
    if (batch.kind !== "contrastive") sft.push(await reference.tokens(batch.rows.map(plainRow)));
    if (batch.kind !== "sft") contrastive.push(await reference.pairs(sides(batch)));
  }
  return { sft: addTotals(sft), contrastive: addTotals(contrastive) };
}

describe("the gradient of a step", () => {
  it.each(settings)("$strategy, accumulation $accumulation, alpha $alpha", async (setting) => {
    const { alpha } = setting;
    const { trainer, model, windows, outputDir } = await train(setting);
    expect(windows.map((window) => window.map(({ kind }) => letters[kind]).join(""))).toEqual(
      setting.windows,
    );
    const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
    const reference = new Reference(wide, trainer.infoNCE);
    const log = readLog(outputDir);
    for (const [i, window] of windows.entries()) {
      const { sft, contrastive } = await totals(reference, window);
      expectStep(outputDir, log[i]!, {
        step: i + 1,
        alpha,
        base: "sft",
        totals: { base: sft, contrastive },
      });
    }
    reference.dispose();
    wide.dispose();
    model.dispose();
  });
});

describe("alpha at its ends", () => {
  it("1 is plain SFT", async () => {
    const common = {
      perDeviceTrainBatchSize: 2,
      maxSteps: 6,
      learningRate: 1e-2,
      maxGradNorm: 1,
      loggingSteps: 1,
      saveStrategy: "no",
      disableTqdm: true,
    } as const;
    const rows = sftRows(9);
    const [plain, craft] = [await tinyModel(), await tinyModel()];
    const plainFolder = newFolder();
    const craftFolder = newFolder();
    await new SFTTrainer({
      model: plain,
      args: new SFTConfig({ ...common, outputDir: plainFolder }),
      trainDataset: rows,
    }).train();
    await new CRAFTSFTTrainer({
      model: craft,
      args: new CRAFTSFTConfig({
        ...common,
        outputDir: craftFolder,
        craftAlpha: 1,
        craftBeta: 0.5,
        gradientAccumulationSteps: 2,
      }),
      trainDataset: rows,
      contrastiveDataset: pairRows(5),
    }).train();
    const [expected, actual] = [readLog(plainFolder), readLog(craftFolder)];
    for (const [i, { loss, grad_norm: size }] of expected.entries()) {
      expect(actual[i]!["loss"]).toBeCloseTo(loss!, 5);
      expect(actual[i]!["grad_norm"]! / size!).toBeCloseTo(1, 5);
    }
    const weights = numbersOf(craft.namedParameters());
    for (const [name, values] of numbersOf(plain.namedParameters()))
      expect(largestDifference(need(weights, name), values), name).toBeLessThanOrEqual(1e-5);
    plain.dispose();
    craft.dispose();
  });
});
