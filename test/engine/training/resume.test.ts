/** @file Runs that were stopped and go on, against runs that went through; and checkpoints that do not fit. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTSFTConfig, CRAFTSFTTrainer, type CRAFTSFTOptions } from "../../../src/craft/index.js";
import type { QuantizationOptions } from "../../../src/models/index.js";
import type { LoraOptions } from "../../../src/peft/index.js";
import { SFTConfig, SFTTrainer, type SFTOptions } from "../../../src/trainers/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import type { TrainerCallback } from "../../../src/training/index.js";
import { pairRows, readLog, sftRows, temporaryFolders, tinyModel, withoutTimes } from "./tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

interface Kind {
  readonly name: string;
  readonly craft?: CRAFTSFTOptions;
  readonly lora?: LoraOptions;
  /** Layers in 4 bits. */
  readonly quantization?: QuantizationOptions;
  /** What the run leaves that must be the same byte for byte. */
  readonly files: readonly string[];
}

const lora = { r: 2, loraDropout: 0.2, targetModules: ["q_proj", "o_proj"] };
const craft: CRAFTSFTOptions = {
  craftProjectionDim: 8,
  craftProjectionDropout: 0.1,
  craftLearnableTemperature: true,
  craftBeta: 0.5,
};
const kinds: readonly Kind[] = [
  { name: "SFT", files: ["model.safetensors"] },
  {
    name: "SFT with adapters and dropout",
    lora,
    files: ["adapter_model.safetensors", "adapter_config.json"],
  },
  { name: "CRAFT with pairs", craft, files: ["model.safetensors", "craft.safetensors"] },
  {
    name: "CRAFT with self-align, adapters and dropout",
    craft: { ...craft, craftStrategy: "self_align" },
    lora,
    files: ["adapter_model.safetensors", "craft.safetensors"],
  },
  {
    name: "SFT with DoRA, a table, whole modules and dropout",
    lora: {
      ...lora,
      useDora: true,
      targetModules: ["q_proj", "embed_tokens"],
      modulesToSave: ["lm_head", "norm"],
    },
    files: ["adapter_model.safetensors", "adapter_config.json"],
  },
  {
    name: "SFT with PiSSA, rsLoRA and dropout",
    lora: { ...lora, initLoraWeights: "pissa", useRslora: true, rankPattern: { o_proj: 3 } },
    files: ["adapter_model.safetensors", "adapter_config.json"],
  },
  {
    name: "SFT with QLoRA and dropout",
    lora: { ...lora, targetModules: "all-linear" },
    quantization: { loadIn4bit: true, bnb4bitQuantType: "nf4", bnb4bitUseDoubleQuant: true },
    files: ["adapter_model.safetensors", "adapter_config.json"],
  },
  {
    name: "CRAFT with pairs and QLoRA",
    craft,
    lora,
    quantization: { loadIn4bit: true },
    files: ["adapter_model.safetensors", "craft.safetensors"],
  },
];

/** Rows for 3 windows an epoch, the last of them short. */
const rows = sftRows(10, 5, 9);
const common: SFTOptions = {
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 2,
  maxSteps: 7,
  learningRate: 1e-2,
  warmupSteps: 2,
  lrSchedulerType: "cosine",
  weightDecay: 0.1,
  loggingSteps: 2,
  saveSteps: 3,
  disableTqdm: true,
};

async function train(
  { craft, lora: peftConfig, quantization }: Pick<Kind, "craft" | "lora" | "quantization">,
  options: SFTOptions,
  callbacks: readonly TrainerCallback[] = [],
): Promise<void> {
  const model = await tinyModel({ quantization });
  const shared = { model, peftConfig, trainDataset: rows, callbacks };
  try {
    if (craft === undefined)
      await new SFTTrainer({ ...shared, args: new SFTConfig({ ...common, ...options }) }).train();
    else {
      await new CRAFTSFTTrainer({
        ...shared,
        args: new CRAFTSFTConfig({ ...common, ...craft, ...options }),
        contrastiveDataset: craft.craftStrategy === "self_align" ? undefined : pairRows(7),
      }).train();
    }
  } finally {
    model.dispose();
  }
}

const stopAfter = (step: number): TrainerCallback => ({
  onStepEnd: (end) => {
    if (end.step === step) throw new Error("stopped");
  },
});

const bytes = (...path: string[]): Buffer => readFileSync(join(...path));

describe.each(kinds)("$name", (kind) => {
  it("goes on from a checkpoint as if it had not stopped", async () => {
    const [through, stopped] = [newFolder(), newFolder()];
    await train(kind, { outputDir: through });
    await expect(train(kind, { outputDir: stopped }, [stopAfter(5)])).rejects.toThrow("stopped");
    expect(readdirSync(stopped).sort()).toEqual(["checkpoint-3", "log.jsonl"]);

    // As a run that was killed while it wrote a checkpoint and a line would leave it.
    mkdirSync(join(stopped, ".checkpoint-6.4711"));
    appendFileSync(join(stopped, "log.jsonl"), '{"step":5,"lo');
    await train(kind, { outputDir: stopped, resumeFromCheckpoint: true });

    for (const folder of ["", "checkpoint-6", "checkpoint-7"]) {
      for (const file of [...kind.files, ...(folder === "" ? [] : ["optimizer.safetensors"])])
        expect(bytes(stopped, folder, file).equals(bytes(through, folder, file)), join(folder, file)).toBe(
          true,
        );
    }
    expect(readdirSync(stopped).sort()).toEqual(readdirSync(through).sort());
    expect(withoutTimes(readLog(stopped))).toEqual(withoutTimes(readLog(through)));
    expect(readLog(stopped).map(({ step }) => step)).toEqual([2, 4, 6, 7]);
  });
});

describe("a checkpoint in the middle of an epoch", () => {
  it("goes on with the rows that are left of it, in another folder too", async () => {
    const kind = kinds[1]!;
    const [through, first, second] = [newFolder(), newFolder(), newFolder()];
    await train(kind, { outputDir: through, saveSteps: 2 });
    await expect(train(kind, { outputDir: first, saveSteps: 2 }, [stopAfter(5)])).rejects.toThrow("stopped");
    await train(kind, { outputDir: second, saveSteps: 2, resumeFromCheckpoint: join(first, "checkpoint-2") });
    expect(
      bytes(second, "adapter_model.safetensors").equals(bytes(through, "adapter_model.safetensors")),
    ).toBe(true);
    // The entries up to the checkpoint come with it.
    expect(withoutTimes(readLog(second))).toEqual(withoutTimes(readLog(through)));
  });

  it("goes on beyond the end of its run", async () => {
    const kind = kinds[0]!;
    const folder = newFolder();
    const options = { outputDir: folder, lrSchedulerType: "constant", warmupSteps: 0 } as const;
    await train(kind, { ...options, maxSteps: 3 });
    await train(kind, { ...options, maxSteps: 6, resumeFromCheckpoint: true });
    const through = newFolder();
    await train(kind, { ...options, outputDir: through, maxSteps: 6 });
    expect(bytes(folder, "model.safetensors").equals(bytes(through, "model.safetensors"))).toBe(true);
  });

  it("says so where the schedule is that of another length from there on", async () => {
    const kind = kinds[0]!;
    const folder = newFolder();
    await train(kind, { outputDir: folder, lrSchedulerType: "linear", warmupSteps: 0, maxSteps: 2 });
    const notices: string[] = [];
    const listener: TrainerCallback = { onNotice: (notice) => void notices.push(notice) };
    const longer = { outputDir: folder, lrSchedulerType: "linear", warmupSteps: 0, maxSteps: 4 } as const;
    await train(kind, { ...longer, resumeFromCheckpoint: true }, [listener]);
    expect(notices).toEqual([
      "checkpoint-2 is of a run of 2 steps; the learning rate goes on as in one of 4",
    ]);
    // The rate before the third and the fourth step of four: lr·(1 − step/4).
    expect(readLog(folder).at(-1)?.["learning_rate"]).toBeCloseTo(0.01 * 0.25, 12);
  });

  it("has nothing to do where the run is over", async () => {
    const kind = kinds[0]!;
    const folder = newFolder();
    await train(kind, { outputDir: folder });
    const before = bytes(folder, "model.safetensors");
    await train(kind, { outputDir: folder, resumeFromCheckpoint: true });
    expect(bytes(folder, "model.safetensors").equals(before)).toBe(true);
  });
});

describe("a checkpoint that does not fit", () => {
  let adapters: string;
  let whole: string;
  let paired: string;
  beforeAll(async () => {
    [adapters, whole, paired] = [newFolder(), newFolder(), newFolder()];
    await train(kinds[1]!, { outputDir: adapters, maxSteps: 3 });
    await train(kinds[0]!, { outputDir: whole, maxSteps: 3 });
    await train(kinds[2]!, { outputDir: paired, maxSteps: 3 });
  });

  /** Tries to go on from a copy of the checkpoint, which `change` may spoil first. */
  async function resume(
    from: string,
    kind: Pick<Kind, "craft" | "lora">,
    options: SFTOptions = {},
    change: (checkpoint: string) => void = () => {},
  ): Promise<string> {
    const outputDir = newFolder();
    cpSync(from, outputDir, { recursive: true });
    const checkpoint = join(outputDir, "checkpoint-3");
    change(checkpoint);
    const before = readdirSync(outputDir);
    const log = bytes(outputDir, "log.jsonl");
    const message = await train(kind, { outputDir, resumeFromCheckpoint: true, ...options }).then(
      () => "it went on",
      (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : "no error"),
    );
    expect(readdirSync(outputDir)).toEqual(before);
    expect(bytes(outputDir, "log.jsonl").equals(log)).toBe(true);
    return message.replaceAll(outputDir, "OUT");
  }

  const refusal = (differences: string): string =>
    `CraftError: resume_from_checkpoint = OUT/checkpoint-3: was made with other settings: ${differences}. ` +
    "Resume with the settings of the run that wrote checkpoint-3, or start anew.";

  it.each([
    ["another seed", { seed: 1 }, "seed was 42 and is 1"],
    [
      "another batch size and rate",
      { perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 1, learningRate: 0.5 },
      "per_device_train_batch_size was 2 and is 4; gradient_accumulation_steps was 2 and is 1; " +
        "learning_rate was 0.01 and is 0.5; micro_batches_per_epoch was 5 and is 3",
    ],
    [
      "another schedule",
      { lrSchedulerType: "polynomial", lrSchedulerKwargs: { power: 2 } },
      'lr_scheduler_type was "cosine" and is "polynomial"; lr_scheduler_kwargs was not set and is {"power":2}',
    ],
  ] as const)("is refused for %s", async (_, options, differences) => {
    expect(await resume(whole, {}, { maxSteps: 3, ...options })).toBe(refusal(differences));
  });

  it.each([
    ["another rank", { ...lora, r: 4 }, "lora_r was 2 and is 4"],
    ["another lora_alpha", { ...lora, loraAlpha: 32 }, "lora_alpha was 8 and is 32"],
    [
      "other targets",
      { ...lora, targetModules: ["q_proj", "v_proj"] },
      'lora_target_modules was ["q_proj","o_proj"] and is ["q_proj","v_proj"]',
    ],
  ])("is refused for adapters with %s", async (_, other, differences) => {
    expect(await resume(adapters, { lora: other }, { maxSteps: 3 })).toBe(refusal(differences));
  });

  it("is refused for another kind of run", async () => {
    const short = { maxSteps: 3 };
    expect(await resume(adapters, {}, short)).toContain("use_peft was true and is false; ");
    expect(await resume(adapters, {}, short)).toContain("lora_dropout was 0.2 and is not set");
    expect(await resume(whole, { lora }, short)).toContain("lora_r was not set and is 2");
    expect(await resume(whole, { craft }, short)).toContain("craft_alpha was not set and is 0.6; ");
    expect(await resume(paired, {}, short)).toContain(
      "craft_learnable_temperature was true and is not set; ",
    );
    expect(await resume(paired, { craft: { ...craft, craftProjectionDim: 4 } }, short)).toBe(
      refusal("craft_projection_dim was 8 and is 4"),
    );
  });

  it("is refused where its tensors are not those of the run", async () => {
    const spoil = (checkpoint: string): void =>
      cpSync(
        join(adapters, "checkpoint-3", "adapter_model.safetensors"),
        join(checkpoint, "model.safetensors"),
      );
    expect(await resume(whole, {}, { maxSteps: 3 }, spoil)).toMatch(
      /^CraftError: OUT\/checkpoint-3 = .*: is trained in this run, and the checkpoint does not have it\./,
    );
  });

  it("is refused where a file is missing or broken", async () => {
    const state = "run_state.json";
    const spoiled = (file: string, change: (path: string) => void): Promise<string> =>
      resume(whole, {}, { maxSteps: 3 }, (checkpoint) => change(join(checkpoint, file)));
    expect(await spoiled(state, (path) => rmSync(path))).toContain("checkpoints in OUT hold the model only");
    expect(await spoiled(state, (path) => truncateSync(path, 40))).toContain(
      "CraftError: OUT/checkpoint-3/run_state.json: cannot be read",
    );
    expect(await spoiled(state, (path) => writeFileSync(path, '{"version": 7}'))).toContain(
      "run_state.json: version is not as a checkpoint has it",
    );
    for (const file of ["optimizer.safetensors", "model.safetensors"]) {
      expect(await spoiled(file, (path) => truncateSync(path, 900))).toMatch(
        new RegExp(`^CraftError: OUT/checkpoint-3/${file.replace(".", "\\.")}`),
      );
      expect(await spoiled(file, (path) => rmSync(path))).toMatch(/^CraftError: .*checkpoint-3/);
    }
  });

  it("is refused where there is none", async () => {
    const empty = newFolder();
    await expect(train({}, { outputDir: empty, resumeFromCheckpoint: true })).rejects.toThrow(
      `resume_from_checkpoint = true: ${empty} has no checkpoint. Start without --resume.`,
    );
    await expect(train({}, { outputDir: newFolder(), resumeFromCheckpoint: whole })).rejects.toThrow(
      `resume_from_checkpoint = ${whole}: is no checkpoint: it has no run_state.json. Name a folder checkpoint-N that a run has written.`,
    );
    expect(existsSync(join(empty, "log.jsonl"))).toBe(false);
  });
});
