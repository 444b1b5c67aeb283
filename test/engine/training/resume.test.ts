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
import type { LoraConfig } from "../../../src/peft/lora.js";
import { SFTConfig, SFTTrainer, type SFTOptions } from "../../../src/trainers/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import type { TrainingListener } from "../../../src/training/index.js";
import { pairRows, readLog, sftRows, temporaryFolders, tinyModel, withoutTimes } from "./tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

interface Kind {
  readonly name: string;
  readonly craft?: CRAFTSFTOptions;
  readonly lora?: Partial<LoraConfig>;
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
  { craft, lora: peftConfig }: Pick<Kind, "craft" | "lora">,
  options: SFTOptions,
  listeners: readonly TrainingListener[] = [],
): Promise<void> {
  const model = await tinyModel();
  const shared = { model, peftConfig, trainDataset: rows, listeners };
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

const stopAfter = (step: number): TrainingListener => ({
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
    // The first entry covers steps 1 and 2 and stays with the first folder.
    expect(withoutTimes(readLog(second))).toEqual(withoutTimes(readLog(through)).slice(1));
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

  it.each([
    ["another seed", { seed: 1 }, "seed = 42, this one has 1"],
    [
      "another batch size",
      { perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 1 },
      "micro_batches_per_epoch = 5, this one has 3",
    ],
    ["another accumulation", { gradientAccumulationSteps: 1 }, "steps_per_epoch = 3, this one has 5"],
  ] as const)("is refused for %s", async (_, options, difference) => {
    expect(await resume(whole, {}, options)).toBe(
      `CraftError: resume_from_checkpoint = OUT/checkpoint-3: its run has ${difference}, so the data would come in another order. ` +
        "Resume with the seed, the data, the batch size and the accumulation of that run, or start anew.",
    );
  });

  it.each([
    ["another rank", { ...lora, r: 4 }, "its lora_r is 2, that of this run 4"],
    ["another lora_alpha", { ...lora, loraAlpha: 32 }, "its lora_alpha is 8, that of this run 32"],
    [
      "fewer targets",
      { ...lora, targetModules: ["q_proj"] },
      "is in the checkpoint and is not trained in this run",
    ],
    [
      "other targets",
      { ...lora, targetModules: ["q_proj", "v_proj"] },
      "is trained in this run, and the checkpoint does not have it",
    ],
  ])("is refused for adapters with %s", async (_, other, reason) => {
    expect(await resume(adapters, { lora: other })).toMatch(
      new RegExp(`^CraftError: .*checkpoint-3.*${reason}.* Resume with the settings`),
    );
  });

  it("is refused for another kind of run", async () => {
    const order = "was made with other settings: it";
    expect(await resume(adapters, {})).toContain(`${order} is of an adapter.`);
    expect(await resume(whole, { lora })).toContain(`${order} is of a whole model.`);
    expect(await resume(whole, { craft })).toContain(`${order} has no craft.safetensors.`);
    expect(await resume(paired, {})).toContain(`${order} has a craft.safetensors.`);
    expect(await resume(paired, { craft: { ...craft, craftProjectionDim: 4 } })).toContain(
      "craft.safetensors = craft_loss.projection_head.output.weight: has the shape [8, 16] in the checkpoint and [4, 16] in this run.",
    );
    expect(await resume(paired, { craft: { ...craft, craftLearnableTemperature: false } })).toContain(
      "craft.safetensors = craft_loss.log_temperature: is in the checkpoint and is not trained in this run.",
    );
  });

  it("is refused where a file is missing or broken", async () => {
    const state = "trainer_state.json";
    const spoil = (change: (file: string) => void, file: string) => (checkpoint: string) =>
      change(join(checkpoint, file));
    expect(
      await resume(
        whole,
        {},
        {},
        spoil((path) => rmSync(path), state),
      ),
    ).toContain("checkpoint-3/trainer_state.json: cannot be read");
    expect(
      await resume(
        whole,
        {},
        {},
        spoil((path) => truncateSync(path, 40), state),
      ),
    ).toContain("CraftError: OUT/checkpoint-3/trainer_state.json: cannot be read");
    expect(
      await resume(
        whole,
        {},
        {},
        spoil((path) => writeFileSync(path, '{"global_step": "3"}'), state),
      ),
    ).toContain("trainer_state.json: global_step is not as a checkpoint has it");
    for (const file of ["optimizer.safetensors", "model.safetensors"]) {
      expect(
        await resume(
          whole,
          {},
          {},
          spoil((path) => truncateSync(path, 900), file),
        ),
      ).toMatch(new RegExp(`^CraftError: OUT/checkpoint-3/${file.replace(".", "\\.")}`));
      expect(
        await resume(
          whole,
          {},
          {},
          spoil((path) => rmSync(path), file),
        ),
      ).toMatch(/^CraftError: .*checkpoint-3/);
    }
  });

  it("is refused where there is none", async () => {
    const empty = newFolder();
    await expect(train({}, { outputDir: empty, resumeFromCheckpoint: true })).rejects.toThrow(
      `resume_from_checkpoint = true: ${empty} has no checkpoint. Start without --resume.`,
    );
    await expect(train({}, { outputDir: newFolder(), resumeFromCheckpoint: whole })).rejects.toThrow(
      `resume_from_checkpoint = ${whole}: is no checkpoint: it has no trainer_state.json. Name a folder checkpoint-N that a run has written.`,
    );
    expect(existsSync(join(empty, "log.jsonl"))).toBe(false);
  });
});
