/** @file What must not change a run of SFTTrainer, and what must. */
import { beforeAll, describe, expect, it } from "vitest";
import { LoraModel, type LoraConfig } from "../../../src/peft/lora.js";
import { SFTConfig, SFTTrainer, type SFTOptions } from "../../../src/trainers/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import type { TrainerCallback } from "../../../src/training/index.js";
import { largestDifference, need } from "../fixtures.js";
import {
  modelFolder,
  numbersOf,
  readLog,
  sftRows,
  temporaryFolders,
  tinyModel,
  withoutTimes,
  type TokenRow,
} from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

interface Outcome {
  readonly log: readonly Record<string, number | undefined>[];
  /** What was trained, by name. */
  readonly weights: ReadonlyMap<string, readonly number[]>;
}

interface Options {
  readonly rows?: readonly TokenRow[];
  readonly lora?: Partial<LoraConfig>;
  readonly callbacks?: readonly TrainerCallback[];
}

async function train(options: SFTOptions, { rows = sftRows(16), lora, callbacks = [] }: Options = {}) {
  const outputDir = newFolder();
  const model = await tinyModel();
  // Adapters start the same whatever the run's seed, and B not at 0, so that A has a gradient at once.
  const adapted = lora === undefined ? undefined : LoraModel.create(model, lora, 1);
  for (const [name, parameter] of adapted?.namedParameters() ?? [])
    if (name.includes("lora_B")) {
      const values = parameter.value.toNumbers();
      parameter.value.bytes().set(new Uint8Array(Float32Array.from(values, (_, i) => Math.sin(i)).buffer));
    }
  const trainer = new SFTTrainer({
    model: adapted ?? model,
    args: new SFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 4,
      maxSteps: 4,
      learningRate: 1e-2,
      loggingSteps: 1,
      saveStrategy: "no",
      disableTqdm: true,
      ...options,
    }),
    trainDataset: rows,
    callbacks,
  });
  await trainer.train();
  const weights = numbersOf((adapted ?? model).namedParameters());
  adapted?.detach();
  model.dispose();
  return { log: withoutTimes(readLog(outputDir)), weights } as Outcome;
}

function expectNear(actual: Outcome, expected: Outcome): void {
  expect(actual.log).toHaveLength(expected.log.length);
  expected.log.forEach(({ loss, grad_norm: norm }, i) => {
    expect(actual.log[i]!["loss"]).toBeCloseTo(loss!, 5);
    expect(actual.log[i]!["grad_norm"]! / norm!).toBeCloseTo(1, 5);
  });
  for (const [name, values] of expected.weights)
    expect(largestDifference(need(actual.weights, name), values), name).toBeLessThanOrEqual(1e-5);
}

describe("a run does not depend on", () => {
  it("how a step's rows are divided into micro-batches", async () => {
    const rows = sftRows(20, 3, 14);
    const common = { maxSteps: 6, seed: 7 };
    const whole = await train(
      { ...common, perDeviceTrainBatchSize: 8, gradientAccumulationSteps: 1 },
      { rows },
    );
    const single = await train(
      { ...common, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 8 },
      { rows },
    );
    const middle = await train(
      { ...common, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 2 },
      { rows },
    );
    expectNear(single, whole);
    expectNear(middle, whole);
  });

  it("how far rows are padded", async () => {
    expectNear(await train({ padToMultipleOf: 1 }), await train({ padToMultipleOf: 32 }));
  });

  it("what is kept for the backward pass, with dropout too", async () => {
    const lora = { r: 2, loraDropout: 0.3, targetModules: ["q_proj", "down_proj"] };
    for (const options of [{}, { lora }]) {
      const kept = await train({ gradientCheckpointing: false }, options);
      const again = await train({ gradientCheckpointing: true }, options);
      expectNear(again, kept);
    }
  });

  it("anything else: twice the same run is the same bit for bit", async () => {
    const lora = { r: 2, loraDropout: 0.3 };
    expect(await train({ seed: 3 })).toEqual(await train({ seed: 3 }));
    expect(await train({ seed: 3 }, { lora })).toEqual(await train({ seed: 3 }, { lora }));
  });
});

describe("a run depends on", () => {
  it("the seed, by the order of rows", async () => {
    const [one, other] = [await train({ seed: 3 }), await train({ seed: 4 })];
    expect(one.weights).not.toEqual(other.weights);
  });

  it("the seed, by the dropout of adapters, and on nothing random without", async () => {
    // Equal rows, so that their order does not matter.
    const rows = Array.from({ length: 8 }, () => sftRows(1, 10, 10)[0]!);
    const dropped = { rows, lora: { r: 2, loraDropout: 0.3 } };
    const plain = { rows, lora: { r: 2, loraDropout: 0 } };
    const [a, b, c] = [
      await train({ seed: 3 }, dropped),
      await train({ seed: 4 }, dropped),
      await train({ seed: 3 }, plain),
    ];
    expect(a.log[0]!["loss"]).not.toBe(b.log[0]!["loss"]);
    expect(a.log[0]!["loss"]).not.toBe(c.log[0]!["loss"]);
    expect((await train({ seed: 4 }, plain)).weights).toEqual(c.weights);
  });

  it("the step, by the dropout of adapters", async () => {
    const rows = Array.from({ length: 8 }, () => sftRows(1, 10, 10)[0]!);
    const { log } = await train({ learningRate: 0 }, { rows, lora: { r: 2, loraDropout: 0.3 } });
    expect(new Set(log.map(({ loss }) => loss)).size).toBe(log.length);
  });
});

describe("native tensors", () => {
  const counting = (counts: number[]): TrainerCallback => ({ onStepEnd: () => counts.push(liveTensors()) });

  it("stay the same number over 50 steps", async () => {
    const counts: number[] = [];
    const rows = sftRows(8, 10, 10);
    await train(
      { maxSteps: 50, gradientAccumulationSteps: 2, loggingSteps: 10 },
      { rows, callbacks: [counting(counts)] },
    );
    expect(counts).toHaveLength(50);
    expect(new Set(counts.slice(1))).toEqual(new Set([counts[1]]));
  });

  it("stay the same number from epoch to epoch over many shapes, with adapters", async () => {
    const counts: number[] = [];
    // More shapes than programs are kept, so that programs come and go.
    const rows = Array.from({ length: 30 }, (_, i) => sftRows(1, 4 + i, 4 + i)[0]!);
    await train(
      { maxSteps: 90, perDeviceTrainBatchSize: 1, padToMultipleOf: 1, loggingSteps: 30, seed: 1 },
      { rows, lora: { r: 2, loraDropout: 0.1 }, callbacks: [counting(counts)] },
    );
    const [second, third] = [counts.slice(30, 60), counts.slice(60, 90)];
    expect(Math.max(...third)).toBeLessThanOrEqual(Math.max(...second) + 2);
    expect(Math.min(...third)).toBeGreaterThanOrEqual(Math.min(...second) - 2);
  });

  it("are all given back when a run is over", async () => {
    await train({}, { lora: { r: 2 } });
    const before = liveTensors();
    await train({}, { lora: { r: 2 } });
    expect(liveTensors()).toBe(before);
  });
});

describe("what moves", () => {
  it("is every weight in full fine-tuning", async () => {
    const model = await tinyModel();
    const before = numbersOf(model.namedParameters());
    model.dispose();
    const { weights } = await train({});
    for (const [name, values] of weights) expect(values, name).not.toEqual(need(before, name));
  });

  it("is every adapter, and no frozen weight by a bit", async () => {
    const model = await tinyModel();
    const lora = LoraModel.create(model, { r: 2, targetModules: ["q_proj", "up_proj"] });
    const own = () => numbersOf([...model.namedParameters()].filter(([name]) => !name.includes("adapter")));
    const [frozen, adapters] = [own(), numbersOf(lora.namedParameters())];
    await new SFTTrainer({
      model: lora,
      args: new SFTConfig({
        outputDir: newFolder(),
        maxSteps: 3,
        learningRate: 0.1,
        weightDecay: 0.5,
        saveStrategy: "no",
        disableTqdm: true,
      }),
      trainDataset: sftRows(16),
    }).train();
    expect(own()).toEqual(frozen);
    for (const [name, values] of numbersOf(lora.namedParameters()))
      expect(values, name).not.toEqual(need(adapters, name));
    lora.detach();
    model.dispose();
  });

  it("is nothing that was frozen by hand", async () => {
    const model = await tinyModel();
    const frozen = model.parameter("model.embed_tokens.weight");
    frozen.trainable = false;
    const before = numbersOf(model.namedParameters());
    await new SFTTrainer({
      model,
      args: new SFTConfig({ outputDir: newFolder(), maxSteps: 2, saveStrategy: "no", disableTqdm: true }),
      trainDataset: sftRows(8),
    }).train();
    for (const [name, values] of numbersOf(model.namedParameters())) {
      if (name === "model.embed_tokens.weight") expect(values).toEqual(need(before, name));
      else expect(values, name).not.toEqual(need(before, name));
    }
    model.dispose();
  });
});

describe("half precision", () => {
  /** A run of a model that computes in bfloat16, and what its parameters are then. */
  async function halfRun(lora?: Partial<LoraConfig>) {
    const outputDir = newFolder();
    const counts: number[] = [];
    const trainer = new SFTTrainer({
      model: modelFolder,
      peftConfig: lora,
      args: new SFTConfig({
        outputDir,
        dtype: "bfloat16",
        perDeviceTrainBatchSize: 4,
        maxSteps: 20,
        learningRate: 1e-3,
        loggingSteps: 1,
        saveStrategy: "no",
        disableTqdm: true,
      }),
      trainDataset: sftRows(16, 10, 10),
      callbacks: [{ onStepEnd: () => counts.push(liveTensors()) }],
    });
    await trainer.train();
    const log = readLog(outputDir);
    const own = [...trainer.model.namedParameters()].filter(([name]) => !name.includes("adapter"));
    const dtypes = new Set(own.map(([, parameter]) => parameter.dtype));
    const adapters = new Set(trainer.lora?.parameters().map(({ dtype }) => dtype));
    trainer.lora?.detach();
    trainer.model.dispose();
    return { log, dtypes, adapters, counts };
  }

  it("keeps what is trained in float32 and learns as float32 does", async () => {
    const rows = sftRows(16, 10, 10);
    const wide = await train({ maxSteps: 20, learningRate: 1e-3 }, { rows });
    const { log, dtypes, counts } = await halfRun();
    expect(dtypes).toEqual(new Set(["float32"]));
    wide.log.forEach(({ loss }, i) => expect(Math.abs(log[i]!["loss"]! / loss! - 1)).toBeLessThan(0.01));
    expect(new Set(counts.slice(1)).size).toBe(1);
  });

  it("keeps frozen weights in bfloat16 and adapters in float32", async () => {
    const { log, dtypes, adapters, counts } = await halfRun({ r: 2, targetModules: ["q_proj", "up_proj"] });
    expect(dtypes).toEqual(new Set(["bfloat16"]));
    expect(adapters).toEqual(new Set(["float32"]));
    expect(log.at(-1)!["loss"]).toBeLessThan(log[0]!["loss"]!);
    expect(new Set(counts.slice(1)).size).toBe(1);
  });
});

describe("evaluation", () => {
  it("knows no dropout", async () => {
    const losses: number[] = [];
    for (const loraDropout of [0, 0.5]) {
      const model = await tinyModel();
      const lora = LoraModel.create(model, { r: 2, loraDropout }, 1);
      for (const [name, loraB] of lora.namedParameters())
        if (name.includes("lora_B"))
          loraB.value
            .bytes()
            .set(new Uint8Array(new Float32Array(loraB.value.toNumbers().length).fill(0.3).buffer));
      const rows = sftRows(6);
      const args = new SFTConfig({ outputDir: newFolder(), disableTqdm: true });
      const trainer = new SFTTrainer({ model: lora, args, trainDataset: rows, evalDataset: rows });
      for (let i = 0; i < 2; i++) losses.push((await trainer.evaluate())["eval_loss"]!);
      lora.detach();
      model.dispose();
    }
    expect(new Set(losses).size).toBe(1);
  });
});

describe("log.jsonl", () => {
  it("has for each logging step what a run is watched by", async () => {
    const outputDir = newFolder();
    const model = await tinyModel();
    const rows = sftRows(12);
    await new SFTTrainer({
      model,
      args: new SFTConfig({
        outputDir,
        perDeviceTrainBatchSize: 4,
        numTrainEpochs: 2,
        loggingSteps: 2,
        saveStrategy: "no",
        disableTqdm: true,
      }),
      trainDataset: rows,
    }).train();
    model.dispose();
    const log = readLog(outputDir);
    expect(log.map(({ step, epoch }) => [step, epoch])).toEqual([
      [2, 2 / 3],
      [4, 4 / 3],
      [6, 2],
    ]);
    const names = ["step", "epoch", "loss", "grad_norm", "learning_rate", "step_time", "tokens_per_second"];
    for (const entry of log) {
      expect(Object.keys(entry)).toEqual(names);
      expect(entry["step_time"]).toBeGreaterThan(0);
    }
    // Seconds a step times tokens a second, over all steps, are the tokens of two epochs.
    const tokens = log.reduce((sum, entry) => sum + 2 * entry["step_time"]! * entry["tokens_per_second"]!, 0);
    expect(tokens).toBeCloseTo(2 * rows.reduce((sum, row) => sum + row.input_ids.length, 0), 6);
    expect(log.map((entry) => entry["learning_rate"]! / 2e-5)).toEqual(
      [5 / 6, 3 / 6, 1 / 6].map((rate) => expect.closeTo(rate, 9) as number),
    );
  });
});
