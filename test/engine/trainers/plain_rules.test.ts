/** @file What the plain Trainer holds to: resuming, how losses count, and what bad input gets. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTTrainingArguments, withCraft, type CRAFTTrainingOptions } from "../../../src/craft/index.js";
import { DataCollatorForLanguageModeling } from "../../../src/data/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import { Linear } from "../../../src/nn/linear.js";
import { constant, Parameter, tensor, type HostTensor } from "../../../src/tensor/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import {
  languageModelingInputs,
  Trainer,
  TrainingArguments,
  type ComputedLoss,
  type TrainerOptions,
  type TrainingOptions,
} from "../../../src/trainers/index.js";
import type { TracedFeeds, TrainerCallback } from "../../../src/training/index.js";
import { collatePreferences, preferences, PreferenceTrainer } from "../craft/preference.js";
import { pairRows, readLog, sftRows, temporaryFolders, tinyModel, withoutTimes } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const common = {
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 2,
  maxSteps: 4,
  learningRate: 1e-2,
  warmupSteps: 1,
  weightDecay: 0.1,
  loggingSteps: 2,
  saveSteps: 2,
  disableTqdm: true,
} as const satisfies TrainingOptions;

/** A layer with the same weights each time. */
const newHead = (): Linear =>
  new Linear(
    new Parameter(
      DeviceTensor.fromHost(
        Array.from({ length: 16 }, (_, i) => Math.sin(i)),
        [1, 16],
        "float32",
      ),
    ),
  );

/** The token loss, and how far a layer beside the model is from reading 1 off the last hidden states. */
class HeadTrainer extends Trainer {
  readonly #head: Linear;

  constructor(options: TrainerOptions, head: Linear) {
    super({ ...options, modules: { head } });
    this.#head = head;
  }

  override computeLoss(model: CausalLM, inputs: TracedFeeds): ComputedLoss {
    const { sum, weight } = this.tokenLoss(model, inputs);
    const read = this.#head.forward(model.hiddenStates(inputs["input_ids"]!));
    return sum.div(weight).add(read.sub(1).square().mean());
  }
}

const stopAfter = (step: number): TrainerCallback => ({
  onStepEnd: (end) => {
    if (end.step === step) throw new Error("stopped");
  },
});

const kinds = {
  "a loss and a layer of one's own": {
    files: ["model.safetensors", "modules.safetensors"],
    train: async (options: TrainingOptions, callbacks: readonly TrainerCallback[]) => {
      const [model, head] = [await tinyModel(), newHead()];
      const args = new TrainingArguments({ ...common, ...options });
      const trainDataset = sftRows(10, 5, 9);
      try {
        await new HeadTrainer({ model, args, trainDataset, callbacks }, head).train();
      } finally {
        model.dispose();
        for (const parameter of head.parameters()) parameter.dispose();
      }
    },
  },
  "CRAFT over preferences, with adapters, balancing, a queue and chunks": {
    files: ["adapter_model.safetensors", "craft.safetensors", "modules.safetensors"],
    train: async (options: CRAFTTrainingOptions, callbacks: readonly TrainerCallback[]) => {
      const [model, head] = [await tinyModel(), newHead()];
      const trainer = new (withCraft(PreferenceTrainer))({
        model,
        peftConfig: { r: 2, loraDropout: 0.2 },
        args: new CRAFTTrainingArguments({
          ...common,
          craftBeta: 0.5,
          craftProjectionDim: 8,
          craftProjectionDropout: 0.1,
          craftLearnableTemperature: true,
          craftGradientBalancing: "gradnorm",
          craftNegativeStrategy: "queue",
          craftNegativeQueueSize: 8,
          craftContrastiveBatchSize: 3,
          craftUseGradcache: true,
          craftGradcacheChunkSize: 2,
          ...options,
        }),
        trainDataset: preferences(10),
        contrastiveDataset: pairRows(7),
        dataCollator: collatePreferences,
        modules: { head },
        callbacks,
      });
      try {
        await trainer.train();
        trainer.infoNCE.dispose();
      } finally {
        trainer.lora?.detach();
        model.dispose();
        for (const parameter of head.parameters()) parameter.dispose();
      }
    },
  },
};

describe.each(Object.entries(kinds))("a run with %s", (_, { files, train }) => {
  it("goes on from a checkpoint as if it had not stopped", async () => {
    const [through, stopped] = [newFolder(), newFolder()];
    await train({ outputDir: through }, []);
    await expect(train({ outputDir: stopped }, [stopAfter(3)])).rejects.toThrow("stopped");
    await train({ outputDir: stopped, resumeFromCheckpoint: true }, []);
    const bytes = (...path: string[]): Buffer => readFileSync(join(...path));
    for (const folder of ["", "checkpoint-4"])
      for (const file of [...files, ...(folder === "" ? [] : ["optimizer.safetensors"])])
        expect(bytes(stopped, folder, file).equals(bytes(through, folder, file)), `${folder} ${file}`).toBe(
          true,
        );
    expect(readdirSync(stopped).sort()).toEqual(readdirSync(through).sort());
    expect(withoutTimes(readLog(stopped))).toEqual(withoutTimes(readLog(through)));
    // What is trained beside the model did move.
    const [first, last] = ["checkpoint-2", ""].map((folder) => bytes(through, folder, files.at(-2)!));
    expect(first!.equals(last!)).toBe(false);
  });
});

/** Trains a few steps with a loss, and gives the log. */
async function run(
  computeLoss: (trainer: Losses, model: CausalLM, inputs: TracedFeeds) => ComputedLoss,
  options: TrainingOptions = {},
  more: Partial<TrainerOptions<object>> = {},
): Promise<Record<string, number>[]> {
  const model = await tinyModel();
  const outputDir = newFolder();
  try {
    const args = new TrainingArguments({ ...common, maxSteps: 1, loggingSteps: 1, ...options, outputDir });
    await new Losses({ model, args, trainDataset: sftRows(8), ...more }, computeLoss).train();
    return readLog(outputDir);
  } finally {
    model.dispose();
  }
}

class Losses extends Trainer {
  readonly #loss: (trainer: Losses, model: CausalLM, inputs: TracedFeeds) => ComputedLoss;
  constructor(
    options: TrainerOptions,
    loss: (trainer: Losses, model: CausalLM, inputs: TracedFeeds) => ComputedLoss,
  ) {
    super(options);
    this.#loss = loss;
  }
  override computeLoss(model: CausalLM, inputs: TracedFeeds): ComputedLoss {
    return this.#loss(this, model, inputs);
  }
  tokens(model: CausalLM, inputs: TracedFeeds) {
    return this.tokenLoss(model, inputs);
  }
}

const summed = (trainer: Losses, model: CausalLM, inputs: TracedFeeds) => trainer.tokens(model, inputs);

describe("a loss", () => {
  it("that is a sum is the same in one micro-batch as in eight, and leaves no tensor behind", async () => {
    const before = liveTensors();
    const sizes = [8, 4, 1].map((perDeviceTrainBatchSize) => ({
      perDeviceTrainBatchSize,
      gradientAccumulationSteps: 8 / perDeviceTrainBatchSize,
    }));
    const logs = [];
    for (const size of sizes) logs.push((await run(summed, size))[0]!);
    for (const { loss, grad_norm: norm } of logs) {
      expect(loss).toBeCloseTo(logs[0]!["loss"]!, 5);
      expect(norm).toBeCloseTo(logs[0]!["grad_norm"]!, 5);
    }
    expect(liveTensors()).toBe(before);
  });

  it("that is a mean counts micro-batches alike in training, and rows in evaluations", async () => {
    // A loss that is the number of rows: 2, 2 and 1 in an epoch of 5.
    const rowsOf = (trainer: Losses, model: CausalLM, inputs: TracedFeeds) =>
      trainer.tokens(model, inputs).sum.mul(0).add(inputs["input_ids"]!.shape[0]!);
    const [entry, evaluation] = await run(
      rowsOf,
      { gradientAccumulationSteps: 3, evalStrategy: "steps", perDeviceEvalBatchSize: 2 },
      { trainDataset: sftRows(5), evalDataset: sftRows(5) },
    );
    expect(entry!["loss"]).toBeCloseTo((2 + 2 + 1) / 3, 6);
    expect(evaluation!["eval_loss"]).toBeCloseTo((2 * 2 + 2 * 2 + 1 * 1) / 5, 6);
  });

  it("reports its metrics, divided by its weight", async () => {
    const [entry] = await run((trainer, model, inputs) => {
      const { sum, weight } = trainer.tokens(model, inputs);
      return { sum, weight, metrics: { twice: weight.mul(2) } };
    });
    expect(entry!["twice"]).toBeCloseTo(2, 6);
  });

  it("without padding is that of rows padded on either side", async () => {
    const losses: number[] = [];
    for (const paddingSide of ["left", "right"] as const) {
      const padding = new DataCollatorForLanguageModeling({ padTokenId: 0, paddingSide });
      const dataCollator = (rows: readonly object[]) => languageModelingInputs(padding.collate(rows));
      losses.push((await run(summed, {}, { dataCollator }))[0]!["loss"]!);
    }
    expect(losses[0]).toBeCloseTo(losses[1]!, 5);
    expect(losses[0]).toBeCloseTo((await run(summed))[0]!["loss"]!, 5);
  });
});

describe("what cannot be trained on", () => {
  const collator = (batch: unknown) => () => batch as Readonly<Record<string, HostTensor>>;
  it.each<[string, Parameters<typeof run>[0], Partial<TrainerOptions>, string]>([
    [
      "rows without tokens",
      summed,
      { trainDataset: [{ text: "a" }] },
      'train_dataset, row 0: has no column "input_ids"; its columns are "text". Tokenise the rows',
    ],
    [
      "a token outside the vocabulary",
      summed,
      { trainDataset: [{ input_ids: [3, 99] }] },
      "train_dataset, row 0, column input_ids, place 1 = 99",
    ],
    [
      "a collator without tensors",
      summed,
      { dataCollator: collator(undefined) },
      "dataCollator: gave no tensors.",
    ],
    [
      "a collator of arrays",
      summed,
      { dataCollator: collator({ input_ids: [[1, 2]] }) },
      "dataCollator, input_ids = [[1,2]]: is no tensor.",
    ],
    [
      "a name that the trainer gives",
      summed,
      { dataCollator: collator({ label_ids: tensor([1]) }) },
      "dataCollator, label_ids",
    ],
    [
      "inputs without labels",
      summed,
      { dataCollator: collator({ input_ids: tensor([[1, 2]], "int64") }) },
      "predicts the next token, for which the batch must have input_ids and labels of one shape.",
    ],
    ["a loss that is no tensor", () => 3 as never, {}, "computeLoss, sum: must be a tensor"],
    [
      "a loss of several numbers",
      (_, model, inputs) => model.hiddenStates(inputs["input_ids"]!),
      {},
      "must be a single number. Sum it or take its mean.",
    ],
    [
      "a weight of 0",
      (trainer, model, inputs) => ({ ...trainer.tokens(model, inputs), weight: constant(0, "float32") }),
      {},
      "base micro-batch: has a weight of 0",
    ],
  ])("%s", async (_, loss, more, message) => {
    await expect(run(loss, {}, more)).rejects.toThrow(message);
  });

  it("a column that no collator reads is told of", async () => {
    const notices: string[] = [];
    const trainDataset = sftRows(8).map((row) => ({ ...row, source: "a book" }));
    await run(summed, {}, { trainDataset, callbacks: [{ onNotice: (notice) => void notices.push(notice) }] });
    expect(notices).toEqual([
      "train_dataset: no dataCollator reads source, so computeLoss does not see them",
    ]);
  });

  it("options that there are not", () => {
    expect(() => new TrainingArguments({ max_length: 3 })).toThrow(
      "TrainingArguments, option max_length: there is no such option.",
    );
  });
});
