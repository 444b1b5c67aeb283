/** @file Packed and padding-free batches: the loss and gradients of the same rows one by one, and of transformers. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTSFTConfig, CRAFTSFTTrainer, type CRAFTSFTOptions } from "../../../src/craft/index.js";
import {
  DataCollatorForLanguageModeling,
  Dataset,
  packDataset,
  prepareSftDataset,
  type LanguageModelingBatch,
  type PackingStrategy,
} from "../../../src/data/index.js";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import { SFTConfig, SFTObjective, SFTTrainer, type SFTOptions } from "../../../src/trainers/index.js";
import { numel } from "../../../src/tensor/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { MicroBatchRunner } from "../../../src/training/micro_batch.js";
import { largestDifference, readTensors } from "../fixtures.js";
import {
  modelFolder,
  numbersOf,
  pairRows,
  readLog,
  sftRows,
  temporaryFolders,
  tinyModel,
  type TokenRow,
} from "../training/tiny.js";

const fixturePath = join(import.meta.dirname, "../../fixtures/data/packing.json");
const fixture = (
  JSON.parse(readFileSync(fixturePath, "utf8")) as {
    readonly batch: {
      readonly rows: readonly TokenRow[];
      readonly max_length: number;
      readonly loss: number;
      readonly labels: number;
      readonly gradient_norms: Readonly<Record<string, number>>;
    };
  }
).batch;

let model: CausalLM;
let wide: CausalLM;
beforeAll(async () => {
  await loadTorch();
  model = await tinyModel();
  wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
  return () => {
    model.dispose();
    wide.dispose();
  };
});
const newFolder = temporaryFolders();

/** Loss, number of labels and gradient of batches, added up. */
async function total(of: CausalLM, batches: readonly LanguageModelingBatch[]) {
  const runner = new MicroBatchRunner(new SFTObjective(), {
    model: of,
    parameters: of.parameters(),
    gradientCheckpointing: false,
  });
  let [sum, weight] = [0, 0];
  const gradient = of.parameters().map((parameter) => new Array<number>(numel(parameter.shape)).fill(0));
  for (const batch of batches) {
    const { sft } = await runner.train(batch, [0, 0]);
    sum += sft!.sum;
    weight += sft!.weight;
    sft!.gradients.forEach((tensor, i) => {
      tensor.toNumbers().forEach((value, k) => (gradient[i]![k]! += value));
      tensor.dispose();
    });
  }
  runner.dispose();
  return { sum, weight, gradient };
}

const norm = (values: readonly number[]): number => Math.hypot(...values);

interface Layout {
  readonly maxLength: number;
  readonly strategy: PackingStrategy;
  readonly paddingFree?: boolean;
  readonly paddingSide?: "left" | "right";
}

async function packedBatch(rows: readonly TokenRow[], { maxLength, strategy, ...options }: Layout) {
  const prepared = await prepareSftDataset(Dataset.fromArray(rows), undefined);
  const { dataset } = await packDataset(prepared, { maxLength, strategy });
  return new DataCollatorForLanguageModeling(options).collate(await dataset.toArray());
}

const { collate } = new DataCollatorForLanguageModeling({ padToMultipleOf: 1 });

describe("a packed batch", () => {
  it.each<Layout>([
    { maxLength: 16, strategy: "bfd" },
    { maxLength: 48, strategy: "bfd" },
    { maxLength: 48, strategy: "wrapped" },
    { maxLength: 16, strategy: "bfd", paddingSide: "left" },
    { maxLength: 12, strategy: "bfd", paddingFree: true },
  ])("has the loss and gradients of its rows one by one: %o", async (layout) => {
    const before = liveTensors();
    const batch = await packedBatch(fixture.rows, layout);
    expect(batch.shape[0]).toBeLessThan(fixture.rows.length);
    const packed = await total(model, [batch]);
    const alone = await total(
      model,
      fixture.rows.map((row) => collate([row])),
    );
    expect([packed.weight, alone.weight]).toEqual([fixture.labels, fixture.labels]);
    expect(Math.abs(packed.sum / alone.sum - 1)).toBeLessThan(1e-6);
    const size = norm(alone.gradient.flat());
    packed.gradient.forEach((values, i) =>
      expect(largestDifference(values, alone.gradient[i]!)).toBeLessThan(1e-6 * size),
    );
    expect(liveTensors()).toBe(before);
  });

  it("differs where its documents are taken for one text", async () => {
    const { documents: _documents, ...one } = await packedBatch(fixture.rows, {
      maxLength: 16,
      strategy: "bfd",
    });
    const packed = await total(model, [one]);
    expect(Math.abs(packed.sum / packed.weight - fixture.loss / fixture.labels)).toBeGreaterThan(1e-3);
  });

  it("has the loss and gradients of transformers", async () => {
    const { sum, weight, gradient } = await total(wide, [
      await packedBatch(fixture.rows, { maxLength: fixture.max_length, strategy: "bfd" }),
    ]);
    expect(weight).toBe(fixture.labels);
    // Rotary tables are in float32 there.
    expect(Math.abs(sum / fixture.loss - 1)).toBeLessThan(1e-6);
    [...wide.namedParameters()].forEach(([name], i) => {
      const expected = fixture.gradient_norms[name]!;
      expect(Math.abs(norm(gradient[i]!) / expected - 1), name).toBeLessThan(1e-5);
    });
  });

  it("keeps documents apart in the kernel for long rows too", async () => {
    const rows = sftRows(5, 150, 250);
    const batch = await packedBatch(rows, { maxLength: 1100, strategy: "bfd" });
    expect(batch.shape[1]).toBeGreaterThanOrEqual(768);
    const packed = await total(model, [batch]);
    const alone = await total(
      model,
      rows.map((row) => collate([row])),
    );
    expect(Math.abs(packed.sum / alone.sum - 1)).toBeLessThan(1e-6);
    const size = norm(alone.gradient.flat());
    packed.gradient.forEach((values, i) =>
      expect(largestDifference(values, alone.gradient[i]!)).toBeLessThan(1e-5 * size),
    );
  });
});

const still = {
  maxSteps: 1,
  learningRate: 0,
  adamBeta1: 0,
  maxGradNorm: 0,
  loggingSteps: 1,
  saveSteps: 1,
  maxLength: 24,
  perDeviceTrainBatchSize: 16,
  disableTqdm: true,
} as const;

/** Gradient of the first step, and what was logged and said. */
async function sftStep(options: SFTOptions) {
  const outputDir = newFolder();
  const notices: string[] = [];
  const own = await tinyModel();
  await new SFTTrainer({
    model: own,
    args: new SFTConfig({ ...still, ...options, outputDir }),
    trainDataset: sftRows(16),
    evalDataset: sftRows(6, 4, 12, 8),
    callbacks: [{ onNotice: (notice) => notices.push(notice) }],
  }).train();
  own.dispose();
  return { moments: firstMoments(outputDir), log: readLog(outputDir), notices };
}

function firstMoments(outputDir: string): ReadonlyMap<string, readonly number[]> {
  const all = readTensors(join(outputDir, "checkpoint-1", "optimizer.safetensors"));
  return new Map([...all].map(([name, { values }]) => [name, values]));
}

function expectSame(
  actual: ReadonlyMap<string, readonly number[]>,
  expected: ReadonlyMap<string, readonly number[]>,
): void {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  const gradients = [...expected].filter(([name]) => name.startsWith("exp_avg."));
  const size = norm(gradients.flatMap(([, values]) => values));
  for (const [name, values] of gradients)
    expect(largestDifference(actual.get(name)!, values), name).toBeLessThan(1e-6 * size);
}

describe("SFTTrainer", () => {
  const evaluated = { evalStrategy: "steps", evalSteps: 1 } as const;
  it("makes the same step of packed and padding-free rows, and the same evaluation", async () => {
    const plain = await sftStep(evaluated);
    const packed = await sftStep({ ...evaluated, packing: true });
    const flat = await sftStep({ ...evaluated, paddingFree: true });
    const both = await sftStep({ ...evaluated, packing: true, paddingFree: true, evalPacking: false });
    for (const { moments, log } of [packed, flat, both]) {
      expectSame(moments, plain.moments);
      expect(log[0]!["loss"]).toBeCloseTo(plain.log[0]!["loss"]!, 5);
      expect(log[1]!["eval_loss"]).toBeCloseTo(plain.log[1]!["eval_loss"]!, 5);
    }
    const told = (run: { notices: readonly string[] }) =>
      run.notices.map((notice) => notice.replace(/\d+ % full/, "N % full"));
    expect(told(plain)).toEqual([]);
    expect(told(packed)).toEqual([
      "train_dataset: 16 rows are packed into 6 of up to 24 tokens, N % full",
      "eval_dataset: 6 rows are packed into 3 of up to 24 tokens, N % full",
    ]);
    expect(told(both)).toHaveLength(1);
  });

  it("splits long rows where it is to lose no token", async () => {
    const { notices } = await sftStep({ packing: true, packingStrategy: "bfd_split", maxLength: 8 });
    expect(notices.join("\n")).not.toContain("cut");
    expect((await sftStep({ packing: true, maxLength: 8 })).notices.join("\n")).toContain("cut");
  });

  it("refuses options that do nothing, and collators that know nothing of documents", async () => {
    expect(() => new SFTConfig({ packingStrategy: "wrapped" })).toThrow(
      "packing_strategy = wrapped: has no effect: neither packing nor eval_packing is set",
    );
    expect(
      () => new SFTConfig({ packing: true, packingStrategy: "bfd_split", truncationMode: "keep_end" }),
    ).toThrow("truncation_mode = keep_end: has no effect: packing_strategy bfd_split splits long rows");
    const make = (options: SFTOptions, dataCollator: { readonly collate: typeof collate }) =>
      new SFTTrainer({ model, args: new SFTConfig(options), trainDataset: sftRows(4), dataCollator });
    expect(() => make({ packing: true }, { collate })).toThrow("documents in a row must be kept apart");
    expect(() => make({ packing: true }, new DataCollatorForLanguageModeling())).not.toThrow();
    expect(() => make({ paddingFree: true }, new DataCollatorForLanguageModeling())).toThrow(
      "with padding_free the trainer lays out batches itself",
    );
  });
});

describe("CRAFTSFTTrainer", () => {
  async function craftStep(options: CRAFTSFTOptions) {
    const outputDir = newFolder();
    const own = await tinyModel();
    const trainer = new CRAFTSFTTrainer({
      model: own,
      args: new CRAFTSFTConfig({ ...still, craftProjectionDim: 8, ...options, outputDir }),
      trainDataset: sftRows(16),
      contrastiveDataset: pairRows(16),
    });
    await trainer.train();
    const head = numbersOf(trainer.infoNCE.namedParameters());
    own.dispose();
    return { moments: firstMoments(outputDir), log: readLog(outputDir), head };
  }

  it("makes the same step of packed SFT rows beside pairs that are not packed", async () => {
    const plain = await craftStep({});
    for (const options of [{ packing: true }, { paddingFree: true }, { packing: true, paddingFree: true }]) {
      const packed = await craftStep(options);
      expectSame(packed.moments, plain.moments);
      for (const name of ["loss/craft_sft", "loss/craft_contrast", "grad_norm/sft", "grad_norm/contrastive"])
        expect(packed.log[0]![name], name).toBeCloseTo(plain.log[0]![name]!, 5);
    }
  });

  it("refuses to make pairs of packed rows", () => {
    const make = (options: CRAFTSFTOptions, more = {}) =>
      new CRAFTSFTTrainer({ model, args: new CRAFTSFTConfig(options), trainDataset: sftRows(8), ...more });
    expect(() => make({ packing: true })).toThrow("packing = true: self_align makes a pair of each row");
    expect(() => make({ paddingFree: true })).toThrow("padding_free = true: self_align makes a pair");
    expect(() => new CRAFTSFTConfig({ packingStrategy: "wrapped" })).toThrow("has no effect");
  });
});
