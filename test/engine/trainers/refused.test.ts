/** @file What bad input to SFTTrainer gets: an error that names it, before anything is computed or written. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { Dataset } from "../../../src/data/index.js";
import { CraftError } from "../../../src/errors.js";
import type { CausalLM } from "../../../src/models/index.js";
import { LoraModel } from "../../../src/peft/lora.js";
import {
  SFTConfig,
  SFTTrainer,
  type SFTOptions,
  type SFTTrainerOptions,
} from "../../../src/trainers/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { AutoTokenizer } from "../../../src/text/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need } from "../fixtures.js";
import { modelFolder, numbersOf, readLog, sftRows, temporaryFolders, tinyModel } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const rows = sftRows(8);

/** The message with which a run ends, and what its folder then holds. */
async function refusal(
  options: SFTOptions,
  more: Partial<SFTTrainerOptions> = {},
): Promise<{ message: string; files: string[]; notices: string[] }> {
  const outputDir = options.outputDir ?? newFolder();
  const model = await tinyModel();
  const notices: string[] = [];
  const args = new SFTConfig({ maxSteps: 2, disableTqdm: true, ...options, outputDir });
  const callbacks = [{ onNotice: (notice: string) => notices.push(notice) }];
  const message = await (async () =>
    new SFTTrainer({ model, args, trainDataset: rows, callbacks, ...more }).train())().then(
    () => "it ran",
    (error: unknown) =>
      error instanceof CraftError
        ? error.message
        : `not one of ours: ${error instanceof Error ? error.stack : String(error)}`,
  );
  if (!model.parameters().some((p) => p.value.disposed)) model.dispose();
  const files = existsSync(outputDir) && !message.startsWith("output_dir") ? readdirSync(outputDir) : [];
  return { message, files, notices };
}

describe("rows", () => {
  it.each<[string, readonly object[], string]>([
    [
      "without any known column",
      [{ question: "q" }],
      'train_dataset, row 0: has no column "text"; its columns are "question".',
    ],
    [
      "without a completion",
      [{ prompt: "q" }],
      'train_dataset, row 0: has no column "completion"; its columns are "prompt".',
    ],
    [
      "of which one lacks a column",
      [...rows, { labels: [1] }],
      'train_dataset, row 8: has no column "input_ids"; its columns are "labels".',
    ],
    [
      "of which one is empty",
      [...rows, { input_ids: [] }],
      "train_dataset, row 8: the row is empty: it has no token.",
    ],
    [
      "of which one has no supervised token",
      [rows[0]!, { input_ids: [3, 4, 5], labels: [3, -100, -100] }],
      "train_dataset, row 1: the row has no supervised token",
    ],
    [
      "with a token outside the vocabulary",
      [rows[0]!, rows[1]!, { input_ids: [3, 48, 5] }],
      "train_dataset, row 2, column input_ids, place 1 = 48: the model's vocabulary has the tokens 0 to 47. Use the tokenizer that came with the model, or prepare the tokens with it.",
    ],
    [
      "with a label outside the vocabulary",
      [{ input_ids: [3, 4, 5], labels: [-100, 4, 50257] }],
      "train_dataset, row 0, column labels, place 2 = 50257: the model's vocabulary has the tokens 0 to 47.",
    ],
    [
      "with a negative token",
      [{ input_ids: [3, -1] }],
      "train_dataset, row 0, column input_ids, place 1 = -1: must be an integer",
    ],
    [
      "of text without a tokenizer",
      [{ text: "hello" }],
      "train_dataset, row 0: the row is text and there is no tokenizer. Give one.",
    ],
    ["that are none", [], "train_dataset: the dataset has no row."],
  ])("%s", async (_, trainDataset, expected) => {
    const { message, files } = await refusal({}, { trainDataset });
    expect(message).toContain(expected);
    expect(files).toEqual([]);
  });

  it("are looked through in the evaluation data too, before training", async () => {
    const { message, files } = await refusal(
      { evalStrategy: "steps" },
      { evalDataset: [rows[0]!, { input_ids: [3, 99] }] },
    );
    expect(message).toContain("eval_dataset, row 1, column input_ids, place 1 = 99");
    expect(files).toEqual([]);
  });

  it("are named by file and line where they come from a file", async () => {
    const path = join(newFolder(), "rows.jsonl");
    mkdirSync(dirname(path));
    writeFileSync(path, '{"input_ids": [3, 4]}\n{"input_ids": [3, 77]}\n');
    const trainDataset = await Dataset.fromJsonl(path);
    const { message } = await refusal({}, { trainDataset });
    trainDataset.close();
    expect(message).toContain("rows.jsonl, line 2, column input_ids, place 1 = 77");
  });

  it("of text, by a tokenizer that is not the model's", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(
      join(import.meta.dirname, "../../fixtures/text/byte_level"),
    );
    const { message } = await refusal({}, { tokenizer, trainDataset: [{ text: "hello" }] });
    expect(message).toMatch(
      /^train_dataset, row 0, column input_ids, place \d+ = \d+: the model's vocabulary has the tokens 0 to 47\. Use the tokenizer that came with the model/,
    );
  });

  it("that are bad can be dropped, which is said", async () => {
    const trainDataset = [...rows, { input_ids: [] }, { input_ids: [3, 4], labels: [3, -100] }];
    const { message, notices } = await refusal({ onBadRow: "drop" }, { trainDataset });
    expect(message).toBe("it ran");
    expect(notices).toEqual([
      "train_dataset: 1 row was left out for having no text (first: train_dataset, row 8)",
      "train_dataset: 1 row was left out for having no token to predict (first: train_dataset, row 9)",
    ]);
  });

  it("longer than the model's positions are told, and cut where max_length says so", async () => {
    const trainDataset = [...rows, ...sftRows(2, 70, 70)];
    const told = await refusal({}, { trainDataset });
    expect(told.message).toBe("it ran");
    expect(told.notices).toEqual([
      "train_dataset: 2 rows are longer than the 64 positions that the model was trained for (first: train_dataset, row 8); a lower max_length cuts them",
    ]);
    const cut = await refusal({ maxLength: 64 }, { trainDataset });
    expect(cut.notices).toEqual([
      "train_dataset: 2 rows were longer than the maximum length and cut (first: train_dataset, row 8)",
    ]);
  });
});

describe("settings", () => {
  it("that evaluate without data to evaluate on", async () => {
    const { message, files } = await refusal({ evalStrategy: "epoch" });
    expect(message).toBe(
      "eval_strategy = epoch: there is no eval_dataset to evaluate on. Give one, or leave the option out.",
    );
    expect(files).toEqual([]);
  });

  it("of a schedule that the run is too short for", async () => {
    const { message, files } = await refusal({
      lrSchedulerType: "warmup_stable_decay",
      lrSchedulerKwargs: { num_decay_steps: 3 },
    });
    expect(message).toContain("lr_scheduler_kwargs.num_decay_steps = 3: ");
    expect(files).toEqual([]);
  });

  it("of a micro-batch larger than the data, where incomplete ones are left out", async () => {
    const { message } = await refusal({ dataloaderDropLast: true, perDeviceTrainBatchSize: 9 });
    expect(message).toContain("with dropLast, 8 rows make no batch of 9");
  });

  it.each<[string, SFTTrainerOptions["peftConfig"], string]>([
    [
      "whose target is no layer",
      { targetModules: ["q_proj", "query"] },
      "lora_target_modules = query: matches no linear layer or embedding table of the model. Layers end in q_proj, k_proj, v_proj, o_proj, up_proj, gate_proj, down_proj, embed_tokens.",
    ],
    ["without targets", { targetModules: [] }, "lora_target_modules = []: must name at least one layer."],
    ["of rank 0", { r: 0 }, "lora_r = 0: must be a whole number from 1 on."],
    ["of dropout 1", { loraDropout: 1 }, "lora_dropout = 1: must be at least 0 and below 1."],
    [
      "with an unknown option",
      { rank: 4 } as SFTTrainerOptions["peftConfig"],
      "peftConfig, option rank: there is no such option. The options are r, loraAlpha, loraDropout, targetModules, excludeModules, layersToTransform, layersPattern, rankPattern, alphaPattern, useRslora, useDora, bias, modulesToSave, initLoraWeights.",
    ],
  ])("of adapters %s", async (_, peftConfig, expected) => {
    const { message, files } = await refusal({}, { peftConfig });
    expect(message).toBe(expected);
    expect(files).toEqual([]);
  });

  it("of adapters on a model that has some", async () => {
    const model = await tinyModel();
    const lora = LoraModel.create(model);
    const { message } = await refusal({}, { model: lora, peftConfig: { r: 2 } });
    expect(message).toBe("peftConfig: is given with a model that has an adapter already. Give one of both.");
    lora.detach();
    model.dispose();
  });

  it("of a model in which nothing is to be trained", async () => {
    const model = await tinyModel();
    model.setTrainable(false);
    const { message } = await refusal({}, { model });
    expect(message).toBe("model: has no trainable parameter. Attach LoRA, or call setTrainable(true).");
    model.dispose();
  });

  it("of a model folder that is not there", async () => {
    const { message } = await refusal({}, { model: join(modelFolder, "none") });
    expect(message).toContain(join(modelFolder, "none"));
    expect(message).not.toContain("not one of ours");
  });

  it("of an output folder that is a file", async () => {
    const { message } = await refusal({ outputDir: join(modelFolder, "config.json") });
    expect(message).toContain(`output_dir = ${join(modelFolder, "config.json")}: cannot be written to`);
  });
});

describe("a loss that is not finite", () => {
  /** Runs until it fails, and gives the weights before and after. */
  async function diverge(options: SFTOptions, spoil: (model: CausalLM) => void = () => {}) {
    const outputDir = newFolder();
    const model = await tinyModel();
    spoil(model);
    const steps: Map<string, readonly number[]>[] = [numbersOf(model.namedParameters())];
    const trainer = new SFTTrainer({
      model,
      args: new SFTConfig({
        outputDir,
        maxSteps: 6,
        saveSteps: 1,
        loggingSteps: 1,
        disableTqdm: true,
        ...options,
      }),
      trainDataset: rows,
      callbacks: [{ onStepEnd: () => steps.push(numbersOf(model.namedParameters())) }],
    });
    const live = liveTensors();
    const error: unknown = await trainer.train().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    const leaked = liveTensors() - live;
    const after = numbersOf(model.namedParameters());
    model.dispose();
    return { error, steps, after, outputDir, leaked };
  }

  it("stops the run, with the weights of the step before and whole checkpoints", async () => {
    // AdamW's steps are as long as the learning rate, so that logits overflow after one.
    const { error, steps, after, outputDir } = await diverge({ learningRate: 1e30, maxGradNorm: 0 });
    expect(error).toBeInstanceOf(CraftError);
    const step = steps.length - 1;
    expect(step).toBeGreaterThan(0);
    expect((error as CraftError).message).toMatch(
      new RegExp(
        `^(sft loss|gradient norm) = (NaN|Infinity): is not finite at step ${step + 1}; the weights are still those of step ${step}\\. ` +
          "Lower learning_rate \\(1e\\+30\\), add warmup_steps, or look for broken rows; checkpoints written before are whole\\.$",
      ),
    );
    expect(after).toEqual(steps.at(-1));
    expect(readLog(outputDir).map((entry) => entry["step"])).toEqual(
      Array.from({ length: step }, (_, i) => i + 1),
    );
    const saved = readdirSync(outputDir).filter((name) => name.startsWith("checkpoint-"));
    expect(saved).toHaveLength(step);
    expect(existsSync(join(outputDir, "model.safetensors"))).toBe(false);
    for (const name of saved)
      expect(existsSync(join(outputDir, name, "trainer_state.json")), name).toBe(true);
  });

  it("at the first step leaves the model as it was, nothing written and nothing leaked", async () => {
    const poison = (model: CausalLM): void => {
      const { value } = model.parameter("model.norm.weight");
      value.bytes().set(new Uint8Array(new Float32Array([NaN]).buffer));
    };
    // The second run has what programs keep for all runs.
    await diverge({ gradientAccumulationSteps: 2, perDeviceTrainBatchSize: 2 }, poison);
    const { error, steps, after, outputDir, leaked } = await diverge(
      { gradientAccumulationSteps: 2, perDeviceTrainBatchSize: 2 },
      poison,
    );
    expect(String(error)).toContain(
      "sft loss = NaN: is not finite at step 1; the weights are still those of step 0.",
    );
    for (const [name, values] of steps[0]!)
      expect(largestDifference(need(after, name), values), name).toBe(0);
    expect(readdirSync(outputDir)).toEqual(["log.jsonl"]);
    expect(readFileSync(join(outputDir, "log.jsonl"), "utf8")).toBe("");
    expect(leaked).toBe(0);
  });
});

describe("a collator of one's own", () => {
  it("that gives no label is told", async () => {
    const dataCollator = {
      collate: () => ({
        inputIds: Int32Array.from([3, 4]),
        attentionMask: Int32Array.from([1, 1]),
        labels: Int32Array.from([-100, -100]),
        shape: [1, 2] as const,
      }),
    };
    const { message } = await refusal({}, { dataCollator });
    expect(message).toBe(
      "sft micro-batch: has a weight of 0: nothing in it counts, so there is nothing to learn from. Look at what the data collator gives as labels.",
    );
  });
});
