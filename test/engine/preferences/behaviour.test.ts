/** @file What holds for every run on preferences: layouts, references, batches, and what is refused. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { AutoModelForSequenceClassification, openCheckpoint } from "../../../src/models/index.js";
import { LoraModel } from "../../../src/peft/lora.js";
import {
  DPOConfig,
  DPOTrainer,
  ORPOConfig,
  ORPOTrainer,
  RewardConfig,
  RewardTrainer,
  type DPOOptions,
  type DPOTrainerOptions,
} from "../../../src/trainers/index.js";
import { liveTensors, loadTorch } from "../../../src/torch/index.js";
import { inOrder, modelFolder, numbersOf, readLog, temporaryFolders, tinyModel } from "../training/tiny.js";
import { rows } from "./trl.js";
import { largestDifference } from "../fixtures.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();
const seed = 3;
const common = {
  perDeviceTrainBatchSize: 4,
  maxSteps: 3,
  learningRate: 5e-3,
  loggingSteps: 1,
  saveStrategy: "no",
  disableTqdm: true,
  seed,
} as const;
const lora = { r: 4, targetModules: ["q_proj", "v_proj"] };
const trainDataset = inOrder(rows.slice(0, 12), seed);

type Entries = readonly Readonly<Record<string, number>>[];

async function dpo(options: DPOOptions = {}, more: Partial<DPOTrainerOptions> = {}): Promise<Entries> {
  const [model, outputDir] = [await tinyModel(), newFolder()];
  const args = new DPOConfig({ ...common, outputDir, ...options });
  try {
    await new DPOTrainer({ model, args, trainDataset, ...more }).train();
    return readLog(outputDir);
  } finally {
    model.dispose();
  }
}

async function orpo(options: object): Promise<Entries> {
  const [model, outputDir] = [await tinyModel(), newFolder()];
  const args = new ORPOConfig({ ...common, outputDir, ...options });
  await new ORPOTrainer({ model, args, trainDataset }).train();
  model.dispose();
  return readLog(outputDir);
}

function expectSame(found: Entries, expected: Entries, tolerance = 2e-5): void {
  expect(found).toHaveLength(expected.length);
  expected.forEach((entry, i) => {
    for (const name of ["loss", "grad_norm", "logps/chosen", "rewards/margins", "logits/rejected"])
      expect(Math.abs(found[i]![name]! - entry[name]!), `${name} of step ${i + 1}`).toBeLessThan(
        tolerance * Math.max(1, Math.abs(entry[name]!)),
      );
  });
}

describe("the same numbers come", () => {
  it("whether prompts are shared or not, padded or laid into one row", async () => {
    const plain = await dpo({ sharePrompts: false });
    expectSame(await dpo({ sharePrompts: true }), plain);
    expectSame(await dpo({ sharePrompts: false, paddingFree: true }), plain);
    expectSame(await dpo({ sharePrompts: true, paddingFree: true }), plain);
    expectSame(await dpo({ sharePrompts: true, gradientCheckpointing: true }), plain);
    expectSame(await dpo({ padToMultipleOf: 32 }), plain);
  });

  it("from one batch of four and from four of one, also where tokens count", async () => {
    const four = { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 4 };
    const mix: DPOOptions = { lossType: ["sigmoid", "sft"], lossWeights: [1, 0.3] };
    expectSame(await dpo({ ...mix, ...four }), await dpo(mix));
    expectSame(await orpo(four), await orpo({}));
  });
});

describe("the reference", () => {
  it("is the model without a new adapter: the first loss is log 2", async () => {
    const live = liveTensors();
    const [first, , last] = await dpo({}, { peftConfig: lora });
    expect(first!["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(last!["rewards/margins"]).not.toBe(0);
    expect(liveTensors()).toBe(live);
  });

  it("is the adapter that a model has, as it was at the beginning, also in evaluations afterwards", async () => {
    const model = await tinyModel();
    const adapted = LoraModel.create(model, lora, 5);
    for (const [name, parameter] of adapted.namedParameters())
      if (name.includes("lora_B")) parameter.value.copyFrom(parameter.value);
    const outputDir = newFolder();
    const args = new DPOConfig({ ...common, outputDir });
    const evalDataset = trainDataset;
    const trainer = new DPOTrainer({ model: adapted, args, trainDataset, evalDataset });
    const before = await trainer.evaluate();
    expect(before["eval_loss"]).toBeCloseTo(Math.LN2, 6);
    await trainer.train();
    const after = await trainer.evaluate();
    expect(after["eval_rewards/margins"]).not.toBe(0);
    expect(readLog(outputDir)[0]!["loss"]).toBeCloseTo(Math.LN2, 6);
    // The copy is neither trained nor saved.
    expect([...adapted.namedParameters()].every(([name]) => !name.includes("ref"))).toBe(true);
    model.dispose();
  });

  it("can be given, can be nothing, and is computed once where that is asked for", async () => {
    const cache = process.env["CRAFT_CACHE"];
    const folder = newFolder();
    process.env["CRAFT_CACHE"] = folder;
    try {
      const plain = await dpo();
      expectSame(await dpo({}, { refModel: modelFolder }), plain);
      const notices: string[] = [];
      const callbacks = [{ onNotice: (text: string) => void notices.push(text) }];
      expectSame(await dpo({ precomputeRefLogProbs: true }, { callbacks }), plain);
      expect(notices.filter((text) => text.includes("are read from"))).toEqual([]);
      expectSame(await dpo({ precomputeRefLogProbs: true }, { callbacks }), plain);
      expect(notices.filter((text) => text.includes("are read from"))).toHaveLength(1);
      // Other numbers are another file: the token shares of LD-DPO come into the sums.
      await dpo({ precomputeRefLogProbs: true, ldAlpha: 0.5 });
      expect(readdirSync(join(folder, "ref_log_probs"))).toHaveLength(2);
      const [free] = await dpo({ referenceFree: true });
      expect(free!["rewards/chosen"]).toBeCloseTo(0.1 * free!["logps/chosen"]!, 5);
    } finally {
      if (cache === undefined) delete process.env["CRAFT_CACHE"];
      else process.env["CRAFT_CACHE"] = cache;
    }
  });
});

describe("reward models", () => {
  it("save adapters with their head as PEFT does, and merged as a whole", async () => {
    const model = await AutoModelForSequenceClassification.fromPretrained(modelFolder, { dtype: "float32" });
    const outputDir = newFolder();
    const args = new RewardConfig({ ...common, outputDir, learningRate: 1e-2 });
    const trainer = new RewardTrainer({ model, args, trainDataset, peftConfig: lora });
    await trainer.train();
    const config = JSON.parse(readFileSync(join(outputDir, "adapter_config.json"), "utf8")) as object;
    expect(config).toMatchObject({ task_type: "SEQ_CLS", modules_to_save: ["score"] });
    const merged = newFolder();
    await trainer.saveMerged(merged);
    {
      using saved = openCheckpoint(merged);
      expect(saved.names).toContain("score.weight");
    }
    const again = await AutoModelForSequenceClassification.fromPretrained(merged, { dtype: "float32" });
    const texts = rows.slice(0, 4).map(({ chosen_ids: ids }) => ids);
    const [found, expected] = [await again.predict(texts), await model.predict(texts)];
    expect(largestDifference(found.flat(), expected.flat())).toBeLessThan(1e-5);
    for (const one of [again, model]) one.dispose();
  });

  it("move all that is to be trained, and nothing else", async () => {
    const model = await AutoModelForSequenceClassification.fromPretrained(modelFolder, { dtype: "float32" });
    const before = numbersOf(model.namedParameters());
    const args = new RewardConfig({ ...common, outputDir: newFolder() });
    await new RewardTrainer({ model, args, trainDataset }).train();
    for (const [name, values] of numbersOf(model.namedParameters()))
      expect(largestDifference(values, before.get(name)!), name).toBeGreaterThan(0);
    model.dispose();
  });

  it("refuse a model with several scores", async () => {
    const model = await AutoModelForSequenceClassification.fromPretrained(modelFolder, { numLabels: 2 });
    expect(() => new RewardTrainer({ model, trainDataset })).toThrow(/2 labels.*more than one score/);
    model.dispose();
  });
});

describe("bad input", () => {
  const [good] = rows;
  const refused = async (row: object, options: DPOOptions = {}): Promise<string> =>
    dpo(options, { trainDataset: [good!, row] }).then(
      () => "it ran",
      (error: unknown) => (error instanceof Error ? error.message : "no error"),
    );

  it.each([
    ["equal answers", { ...good, rejected_ids: good!.chosen_ids }, /row 1.*chosen and rejected are the same/],
    ["an empty answer", { ...good, chosen_ids: [] }, /row 1.*chosen answer has no token/],
    ["a missing column", { prompt_ids: [3], chosen_ids: [4] }, /row 1.*no column "rejected_ids"/],
    ["a token beyond the vocabulary", { ...good, rejected_ids: [4, 48] }, /rejected_ids, place 1.*48/],
    ["text without a tokenizer", { prompt: "a", chosen: "b", rejected: "c" }, /row 1.*there is no tokenizer/],
    ["text without an answer", { prompt: "a", chosen: "b" }, /row 1.*no column "rejected"/],
  ])("is refused by name: %s", async (_, row, message) => {
    expect(await refused(row)).toMatch(message);
  });

  it("is a prompt that leaves no room, and answers of which the same is left", async () => {
    const long = { ...good!, prompt_ids: [5, 6, 7, 8, 9, 10] };
    expect(await refused(long, { maxLength: 6 })).toMatch(/row 1.*prompt has 6 tokens.*maxLength = 6/);
    const equal = { prompt_ids: [5, 6], chosen_ids: [7, 8, 9], rejected_ids: [7, 8, 10] };
    expect(await refused(equal, { maxLength: 4 })).toMatch(/row 1.*within 4 tokens is the same/);
    expect(await refused(equal, { maxLength: 3, truncationMode: "keep_end" })).toMatch(
      /answer alone fills maxLength = 3.*no prompt/,
    );
  });

  it("is left out where that is asked for, and told", async () => {
    const notices: string[] = [];
    const callbacks = [{ onNotice: (text: string) => void notices.push(text) }];
    const equal = { ...good!, rejected_ids: good!.chosen_ids };
    await dpo({ onBadRow: "drop" }, { trainDataset: [...rows.slice(0, 4), equal], callbacks });
    expect(notices).toEqual([
      "train_dataset: 1 row was left out for having two equal answers (first: train_dataset, row 4)",
    ]);
  });

  it("is no padding token that ends texts too: padding is not told apart by its number", async () => {
    const plain = await dpo({ sharePrompts: false });
    const tokenizer = { padTokenId: 2, eosTokenId: 2, save: () => Promise.resolve() };
    expectSame(await dpo({ sharePrompts: false }, { tokenizer: tokenizer as never }), plain, 1e-9);
  });

  it("is a reference that is the model itself, and one beside reference_free", async () => {
    const model = await tinyModel();
    await expect(dpo({}, { model, refModel: model })).rejects.toThrow(/refModel.*the model that is trained/);
    model.dispose();
    await expect(dpo({ referenceFree: true }, { refModel: modelFolder })).rejects.toThrow(
      /refModel.*no effect/,
    );
    expect(existsSync(modelFolder)).toBe(true);
  });

  it.each([
    [{ labelSmoothing: 0.1 }, /label_smoothing = 0\.1.*has no effect/],
    [{ lossType: "exo_pair" }, /label_smoothing.*greater than 0 for exo_pair/],
    [{ lossType: ["sigmoid", "hinge"], lossWeights: [1] }, /loss_weights.*1 for 2 losses/],
    [{ lossType: "sft" }, /loss_type.*sft alone/],
    [{ lossType: "nca_pair", fDivergenceType: "forward_kl" }, /f_divergence_type.*nca_pair/],
    [{ lossType: "aot", useWeighting: true }, /use_weighting.*aot/],
    [{ discopopTau: 0.1 }, /discopop_tau.*no effect/],
    [{ fAlphaDivergenceCoef: 0.1 }, /f_alpha_divergence_coef.*no effect/],
    [{ refModelSyncSteps: 5 }, /ref_model_sync_steps.*no effect/],
    [{ syncRefModel: true, precomputeRefLogProbs: true }, /sync_ref_model.*precompute_ref_log_probs/],
    [{ precomputeRefBatchSize: 5 }, /precompute_ref_batch_size.*no effect/],
    [{ generateDuringEval: true }, /generate_during_eval.*no such option/],
  ])("is options that do not go together: %j", (options, message) => {
    expect(() => new DPOConfig(options)).toThrow(message);
  });

  it("is adapters with a reference that follows", () => {
    const args = new DPOConfig({ syncRefModel: true });
    expect(() => new DPOTrainer({ model: "x", args, trainDataset, peftConfig: lora })).toThrow(
      /sync_ref_model/,
    );
  });
});
