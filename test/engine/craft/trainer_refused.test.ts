/** @file What bad input to CRAFTSFTTrainer gets, and what is said of settings that act otherwise than they read. */
import { existsSync, readdirSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import {
  CRAFTCollator,
  CRAFTSFTConfig,
  CRAFTSFTTrainer,
  makeCraftDatasets,
  type CRAFTSFTOptions,
  type CRAFTSFTTrainerOptions,
} from "../../../src/craft/index.js";
import { CraftError } from "../../../src/errors.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { numbersOf, pairRows, readLog, sftRows, temporaryFolders, tinyModel } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const rows = sftRows(8);
const pairs = pairRows(6);

async function attempt(
  options: CRAFTSFTOptions,
  more: Partial<CRAFTSFTTrainerOptions> = {},
  spoil: (trainer: CRAFTSFTTrainer) => void = () => {},
): Promise<{ message: string; files: string[]; notices: string[]; outputDir: string }> {
  const outputDir = newFolder();
  const model = await tinyModel();
  const notices: string[] = [];
  const run = async (): Promise<void> => {
    const trainer = new CRAFTSFTTrainer({
      model,
      args: new CRAFTSFTConfig({
        perDeviceTrainBatchSize: 2,
        gradientAccumulationSteps: 2,
        craftBeta: 0.5,
        craftProjectionDim: 8,
        maxSteps: 2,
        loggingSteps: 1,
        disableTqdm: true,
        ...options,
        outputDir,
      }),
      trainDataset: rows,
      callbacks: [{ onNotice: (notice) => notices.push(notice), onTrainBegin: (): void => spoil(trainer) }],
      ...(options.craftStrategy === "self_align" || more.craftBundle ? {} : { contrastiveDataset: pairs }),
      ...more,
    });
    await trainer.train();
  };
  const before = numbersOf(model.namedParameters());
  const message = await run().then(
    () => "it ran",
    (error: unknown) => (error instanceof CraftError ? error.message : `not one of ours: ${String(error)}`),
  );
  if (message !== "it ran") expect(numbersOf(model.namedParameters())).toEqual(before);
  model.dispose();
  return { message, notices, outputDir, files: existsSync(outputDir) ? readdirSync(outputDir) : [] };
}

describe("pairs", () => {
  const same = (count: number) => pairRows(count).map((pair) => ({ ...pair, input_ids_tgt: [5, 6] }));
  it.each<[string, readonly object[], string]>([
    [
      "that are one",
      pairs.slice(0, 1),
      "contrastive_dataset: 1 pair has no negatives, so there is nothing to contrast. Give two pairs or more.",
    ],
    ["that are none", [], "contrastive_dataset: the dataset has no row."],
    ["that all have the same positive", same(4), "have the same positive side, so none has a negative."],
    [
      "without a column",
      [...pairs, { input_ids: [3, 4] }],
      'contrastive_dataset, row 6: has no column "input_ids_tgt"; its columns are "input_ids".',
    ],
    [
      "with an empty side",
      [...pairs, { input_ids: [3, 4], input_ids_tgt: [] }],
      "contrastive_dataset, row 6: the pair has an empty side: column input_ids_tgt.",
    ],
    [
      "with a token outside the vocabulary",
      [...pairs, { input_ids: [3, 4], input_ids_tgt: [3, 4, 60] }],
      "contrastive_dataset, row 6, column of the positive, place 2 = 60: the model's vocabulary has the tokens 0 to 47.",
    ],
    [
      "of text without a tokenizer",
      [{ anchor: "a", positive: "b" }],
      "contrastive_dataset, row 0: the pair is text and there is no tokenizer.",
    ],
  ])("%s", async (_, contrastiveDataset, expected) => {
    const { message, files } = await attempt({}, { contrastiveDataset });
    expect(message).toContain(expected);
    expect(files.filter((name) => name !== "log.jsonl")).toEqual([]);
  });

  it("one at a time", async () => {
    const reason = "a contrastive batch of one pair has no negatives, so there is nothing to contrast.";
    expect((await attempt({ craftContrastiveBatchSize: 1 })).message).toBe(
      `craft_contrastive_batch_size = 1: ${reason} Set it to 2 or more.`,
    );
    expect((await attempt({ perDeviceTrainBatchSize: 1 })).message).toBe(
      `craft_contrastive_batch_size = per_device_train_batch_size = 1: ${reason} Set it to 2 or more.`,
    );
    expect((await attempt({ perDeviceTrainBatchSize: 1, craftBeta: 1 })).message).toBe("it ran");
  });

  it("that all have the same anchor, so that every positive is right for each", async () => {
    const contrastiveDataset = pairRows(4).map((pair) => ({ ...pair, input_ids: [5, 6] }));
    const { message } = await attempt({}, { contrastiveDataset });
    expect(message).toContain("none of its 2 pairs has a negative: they all say the same as one another.");
  });

  it("for evaluation without a negative in a batch, before training", async () => {
    const { message, files } = await attempt(
      { craftContrastiveBatchSize: 2, evalStrategy: "steps" },
      { contrastiveEvalDataset: [...pairs, ...same(2)] },
    );
    expect(message).toContain("have the same positive side");
    expect(files).toEqual([]);
  });

  it("for evaluation that are one too many for batches", async () => {
    const { message, notices } = await attempt(
      { craftContrastiveBatchSize: 2, evalStrategy: "steps" },
      { contrastiveEvalDataset: pairRows(5) },
    );
    expect(message).toBe("it ran");
    expect(notices).toEqual([
      "contrastive_eval_dataset: the last pair is left out, since a batch of one has no negative",
    ]);
  });
});

describe("rows that are their own pairs", () => {
  const self = { craftStrategy: "self_align" } as const;

  it("need a prompt", async () => {
    const trainDataset = [...rows, { input_ids: [3, 4, 5] }];
    const { message, files } = await attempt(self, { trainDataset });
    expect(message).toContain(
      "train_dataset, row 8: no token comes before the assistant's, so the row has no prompt to be the anchor.",
    );
    expect(files).toEqual([]);
  });

  it("need the mask that is said to be provided, under the name that is given", async () => {
    const provided = { ...self, craftAssistantMaskStrategy: "provided" } as const;
    const { message } = await attempt(provided);
    expect(message).toContain('train_dataset, row 0: has no column "assistant_masks"');
    const masked = rows.map(({ input_ids: ids }) => ({
      input_ids: ids,
      said: ids.map((_, place) => (place >= ids.length / 2 ? 1 : 0)),
    }));
    const named = { ...provided, craftAssistantMaskKey: "said" };
    expect((await attempt(named, { trainDataset: masked })).message).toBe("it ran");
    expect((await attempt(named)).message).toContain('has no column "assistant_masks"');
  });

  it("take no pairs beside them", async () => {
    const { message } = await attempt(self, { contrastiveDataset: pairs });
    expect(message).toContain(
      'contrastiveDataset: the strategy "self_align" makes its pairs from the SFT rows.',
    );
  });
});

describe("settings", () => {
  it.each<[CRAFTSFTOptions, string]>([
    [
      { craftAlpha: 0, craftBeta: 1 },
      "craft_alpha = 0: leaves out the SFT loss, and with craft_beta = 1 there is no other: nothing would be learnt.",
    ],
    [
      { craftAlpha: 0, craftBeta: 1, craftStrategy: "self_align" },
      "craft_alpha = 0: leaves out the SFT loss",
    ],
    [
      { craftAlpha: 1, craftBeta: 0 },
      "craft_alpha = 1: leaves out the contrastive loss, and with craft_beta = 0 there is no other",
    ],
    [{ craftLengthStrategy: "error" }, "4 SFT"],
  ])("%o", async (options, expected) => {
    const { message, files } = await attempt(options);
    expect(message).toContain(expected);
    expect(files).toEqual([]);
  });

  it("of which the other share still teaches", async () => {
    expect((await attempt({ craftAlpha: 1, craftBeta: 0, craftStrategy: "self_align" })).message).toBe(
      "it ran",
    );
    expect((await attempt({ craftAlpha: 0.5, craftBeta: 1 })).message).toBe("it ran");
    const { outputDir } = await attempt({ craftAlpha: 0.5, craftBeta: 0 });
    expect(readLog(outputDir)[0]).not.toHaveProperty("loss/craft_sft");
  });

  it("that name two sources of pairs, or the wrong strategy", async () => {
    const craftBundle = makeCraftDatasets<object, object>(rows, { contrastiveDataset: pairs });
    expect((await attempt({}, { craftBundle, contrastiveDataset: pairs })).message).toBe(
      "contrastiveDataset: is given beside craftBundle, which has one. Give one of both.",
    );
    expect((await attempt({ craftStrategy: "self_align" }, { craftBundle })).message).toBe(
      "craft_strategy = self_align: the bundle was made for paired_dataset.",
    );
    expect(
      (await attempt({ craftStrategy: "paired_dataset" }, { contrastiveDataset: undefined })).message,
    ).toContain('contrastiveDataset: the strategy "paired_dataset" needs a dataset of pairs.');
    expect((await attempt({}, { craftBundle, dataCollator: new CRAFTCollator() })).message).toBe("it ran");
  });

  it("that act otherwise than they read are told once", async () => {
    const { notices } = await attempt({ gradientAccumulationSteps: 1, maxSteps: 6 });
    expect(notices).toEqual([
      "gradientAccumulationSteps = 1: every step runs one SFT and one contrastive micro-batch, whatever beta is",
    ]);
  });
});

describe("a contrastive loss that is not finite", () => {
  it("stops the run before any weight changes", async () => {
    const { message, files } = await attempt({}, {}, ({ infoNCE }) => {
      const { value } = infoNCE.parameter("projection_head.hidden.weight");
      value.bytes().set(new Uint8Array(new Float32Array([NaN]).buffer));
    });
    expect(message).toContain(
      "contrastive loss = NaN: is not finite at step 1; the weights are still those of step 0.",
    );
    expect(files).toEqual(["log.jsonl"]);
  });
});
