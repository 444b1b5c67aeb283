/**
 * @file Point 12 of the semantics: the contrastive loader is separate and mixes at the loss level, and a batch of the
 * base trainer keeps its own loss, whatever that is. Gradients are read as in point_01_alpha.test.ts.
 */
import { beforeAll, describe, expect, it } from "vitest";
import {
  CRAFTSFTConfig,
  CRAFTSFTTrainer,
  CRAFTTrainingArguments,
  withCraft,
  type CRAFTTrainingOptions,
} from "../../../src/craft/index.js";
import type { LanguageModelingBatch } from "../../../src/data/index.js";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import { compile, gradients, HostTensor, ones, type Tensor } from "../../../src/tensor/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import {
  SFTConfig,
  SFTObjective,
  SFTTrainer,
  Trainer,
  TrainingArguments,
  type TrainingOptions,
} from "../../../src/trainers/index.js";
import type { Objective, TracedFeeds } from "../../../src/training/index.js";
import { largestDifference, need } from "../fixtures.js";
import {
  modelFolder,
  numbersOf,
  pairRows,
  readLog,
  sftRows,
  temporaryFolders,
  tinyModel,
  withoutTimes,
} from "../training/tiny.js";
import {
  collatePreferences,
  logProbability,
  preferenceLoss,
  preferences,
  PreferenceTrainer,
  type Preference,
} from "./preference.js";
import { expectStep, readableSteps } from "./readable_steps.js";
import { addTotals, Reference, type Total } from "./trainer_reference.js";
import { sides, watched, type Seen } from "./trainer_seen.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();
const CRAFTPreferenceTrainer = withCraft(PreferenceTrainer);

/** Losses and gradients of preferences the long way: in float64, one text at a time. */
function preferenceReference(model: CausalLM, names: readonly string[]) {
  const named = [...model.namedParameters()];
  const run = compile((chosen: Tensor, rejected: Tensor) => {
    const score = (ids: Tensor) => logProbability(model, ids, ones(ids.shape, "float64"));
    const value = preferenceLoss(score(chosen), score(rejected));
    return {
      value,
      gradient: gradients(
        value,
        named.map(([, parameter]) => parameter),
      ),
    };
  });
  const row = (ids: readonly number[]) => new HostTensor([...ids], [1, ids.length], "int64");
  const one = async ({ chosen, rejected }: Preference): Promise<Total> => {
    const { value, gradient } = await run(row(chosen), row(rejected));
    const known = new Map(gradient.map((tensor, i) => [named[i]![0], tensor.toNumbers()]));
    const sum = value.item();
    for (const tensor of [value, ...gradient]) tensor.dispose();
    // The loss does not read the projection head.
    const all = names.map((name): [string, readonly number[]] => [name, known.get(name) ?? []]);
    return { sum, weight: 1, gradient: new Map(all.filter(([, values]) => values.length > 0)) };
  };
  return {
    total: async (rows: readonly Preference[]) => addTotals(await Promise.all(rows.map(one))),
    dispose: () => run.dispose(),
  };
}

describe("the gradient of a step with a base objective of another kind", () => {
  it.each([
    { accumulation: 1, alpha: 0.3, windows: ["pc", "pc", "pc", "pc"] },
    { accumulation: 2, alpha: 0.3, windows: ["pc", "pc", "pc", "pc"] },
    { accumulation: 5, alpha: 0.6, windows: ["pppcc", "pc"] },
  ])(
    "accumulation $accumulation, alpha $alpha",
    async ({ accumulation, alpha, windows: expectedWindows }) => {
      const pairs: Seen[] = [];
      const own: Preference[][] = [];
      const windows: { readonly pairs: Seen[]; readonly own: Preference[][] }[] = [];
      const outputDir = newFolder();
      const model = await tinyModel();
      const trainer = new CRAFTPreferenceTrainer({
        model,
        args: new CRAFTTrainingArguments({
          outputDir,
          perDeviceTrainBatchSize: 2,
          craftContrastiveBatchSize: 3,
          gradientAccumulationSteps: accumulation,
          craftAlpha: alpha,
          craftBeta: 0.6,
          craftProjectionDim: 8,
          craftTemperature: 0.5,
          ...readableSteps,
        }),
        trainDataset: preferences(7),
        contrastiveDataset: pairRows(5, 4, 5),
        dataCollator: (rows) => {
          own.push([...rows]);
          return collatePreferences(rows);
        },
        craftCollator: watched(pairs),
        callbacks: [{ onStepEnd: () => windows.push({ pairs: pairs.splice(0), own: own.splice(0) }) }],
      });
      await trainer.train();
      expect(
        windows.map((window) => "p".repeat(window.own.length) + "c".repeat(window.pairs.length)),
      ).toEqual(expectedWindows);
      const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
      const reference = new Reference(wide, trainer.infoNCE);
      const log = readLog(outputDir);
      for (const [i, window] of windows.entries()) {
        const contrasts: Total[] = [];
        for (const batch of window.pairs) contrasts.push(await reference.pairs(sides(batch)));
        const contrastive = addTotals(contrasts);
        const preferred = preferenceReference(wide, [...contrastive.gradient.keys()]);
        const base = await preferred.total(window.own.flat());
        expectStep(outputDir, log[i]!, {
          step: i + 1,
          alpha,
          base: "preference",
          totals: { base, contrastive },
        });
        expect(log[i]).not.toHaveProperty("loss/craft_sft");
        preferred.dispose();
      }
      reference.dispose();
      wide.dispose();
      trainer.infoNCE.dispose();
      model.dispose();
    },
  );
});

const common = {
  perDeviceTrainBatchSize: 2,
  maxSteps: 4,
  learningRate: 1e-2,
  loggingSteps: 1,
  saveStrategy: "no",
  disableTqdm: true,
} as const satisfies TrainingOptions;

type AnyRun = { readonly model: CausalLM; train(): Promise<unknown>; readonly infoNCE?: { dispose(): void } };

async function trained(make: (model: CausalLM, outputDir: string) => AnyRun) {
  const model = await tinyModel();
  const outputDir = newFolder();
  const trainer = make(model, outputDir);
  await trainer.train();
  const weights = numbersOf(model.namedParameters());
  trainer.infoNCE?.dispose();
  model.dispose();
  return { weights, log: readLog(outputDir) };
}

/** A run in which the contrastive loss is measured and teaches nothing, beside a plain one. */
function expectSame(craft: Awaited<ReturnType<typeof trained>>, plain: typeof craft, task: string): void {
  for (const [i, { loss, grad_norm: size }] of plain.log.entries()) {
    const { [`loss/craft_${task}`]: own, grad_norm: mixedSize } = craft.log[i]!;
    expect(own).toBeCloseTo(loss!, 5);
    expect(mixedSize! / size!).toBeCloseTo(1, 5);
  }
  for (const [name, values] of plain.weights)
    expect(largestDifference(need(craft.weights, name), values), name).toBeLessThanOrEqual(2e-5);
}

describe("with alpha = 1 a run is that of the base trainer", () => {
  const alone: CRAFTTrainingOptions & TrainingOptions = {
    ...common,
    craftAlpha: 1,
    craftBeta: 0.5,
    gradientAccumulationSteps: 2,
  };

  it("of preferences, beside pairs", async () => {
    const shared = { trainDataset: preferences(7), dataCollator: collatePreferences };
    const plain = await trained(
      (model, outputDir) =>
        new PreferenceTrainer({ ...shared, model, args: new TrainingArguments({ ...common, outputDir }) }),
    );
    const craft = await trained(
      (model, outputDir) =>
        new CRAFTPreferenceTrainer({
          ...shared,
          model,
          args: new CRAFTTrainingArguments({ ...alone, outputDir }),
          contrastiveDataset: pairRows(6),
        }),
    );
    expectSame(craft, plain, "preference");
    expect(craft.log[0]!["accuracy"]).toBe(plain.log[0]!["accuracy"]);
  });

  it("of a token loss with a penalty, beside rows that are their own pairs", async () => {
    class PenalisedObjective extends SFTObjective {
      override loss(model: CausalLM, feeds: TracedFeeds) {
        const { sft } = super.loss(model, feeds);
        return { sft: { ...sft, sum: sft.sum.add(model.hiddenStates(feeds["inputIds"]!).square().sum()) } };
      }
    }
    class PenalisedTrainer extends SFTTrainer {
      protected override objective(): Objective<LanguageModelingBatch> {
        return new PenalisedObjective();
      }
    }
    const trainDataset = sftRows(9);
    const plain = await trained(
      (model, outputDir) =>
        new PenalisedTrainer({ trainDataset, model, args: new SFTConfig({ ...common, outputDir }) }),
    );
    const craft = await trained(
      (model, outputDir) =>
        new (withCraft(PenalisedTrainer))({
          trainDataset,
          model,
          args: new CRAFTSFTConfig({ ...alone, craftStrategy: "self_align", outputDir }),
        }),
    );
    expectSame(craft, plain, "sft");
    expect(craft.log.every((entry) => Number.isFinite(entry["loss/craft_contrast"]))).toBe(true);
  });
});

describe("withCraft", () => {
  it("over SFTTrainer is CRAFTSFTTrainer", async () => {
    const options = (outputDir: string) =>
      new CRAFTSFTConfig({ ...common, outputDir, craftProjectionDim: 8, craftStrategy: "self_align" });
    const runs = [withCraft(SFTTrainer), CRAFTSFTTrainer].map((Made) =>
      trained((model, outputDir) => new Made({ model, args: options(outputDir), trainDataset: sftRows(9) })),
    );
    const [composed, named] = [await runs[0]!, await runs[1]!];
    expect(withoutTimes(composed.log)).toEqual(withoutTimes(named.log));
    expect(composed.weights).toEqual(named.weights);
  });

  it("over the plain Trainer contrasts prompts with answers of its rows, and adapters are trained", async () => {
    const outputDir = newFolder();
    const model = await tinyModel();
    const counts: number[] = [];
    const trainer = new (withCraft(Trainer))({
      model,
      peftConfig: { r: 2 },
      args: new CRAFTTrainingArguments({
        ...common,
        perDeviceTrainBatchSize: 3,
        maxSteps: 12,
        outputDir,
        craftAlpha: 0.2,
        craftProjectionDim: 8,
        craftStrategy: "self_align",
        craftLearnableTemperature: true,
        evalStrategy: "epoch",
      }),
      // Of one length, so that no step builds a program of another shape.
      trainDataset: sftRows(9, 6, 6),
      evalDataset: sftRows(4),
      contrastiveEvalDataset: pairRows(6),
      callbacks: [{ onStepEnd: () => counts.push(liveTensors()) }],
    });
    const frozen = numbersOf(model.namedParameters());
    await trainer.train();
    for (const [name, values] of frozen) expect(model.parameter(name).value.toNumbers()).toEqual(values);
    const contrast = readLog(outputDir).flatMap((entry) => entry["loss/craft_contrast"] ?? []);
    expect(Math.min(...contrast.slice(-3))).toBeLessThan(contrast[0]!);
    const evaluation = readLog(outputDir).find((entry) => "eval_loss" in entry);
    expect(Object.keys(evaluation!)).toEqual(expect.arrayContaining(["eval_loss", "eval_contrastive_loss"]));
    expect(new Set(counts.slice(4)).size).toBe(1);
    trainer.infoNCE.dispose();
    trainer.lora?.detach();
    model.dispose();
  });

  it("refuses a task that bears the name of its own, and self-align without rows of tokens", async () => {
    class Contrastive extends Trainer {
      protected override get taskName(): string {
        return "contrastive";
      }
    }
    const model = await tinyModel();
    const args = (more: CRAFTTrainingOptions = {}) =>
      new CRAFTTrainingArguments({ ...common, outputDir: newFolder(), ...more });
    const own = new (withCraft(Contrastive))({
      model,
      args: args(),
      trainDataset: sftRows(4),
      contrastiveDataset: pairRows(4),
    });
    await expect(own.train()).rejects.toThrow(
      "taskName = contrastive: is the name of an objective that CRAFT adds.",
    );
    const selfAligned = new CRAFTPreferenceTrainer({
      model,
      args: args(),
      trainDataset: preferences(4),
      dataCollator: collatePreferences,
    });
    await expect(selfAligned.train()).rejects.toThrow('train_dataset, row 0: has no column "input_ids"');
    model.dispose();
  });
});
