/** @file State that trainers carry from step to step beside the parameters: saved, resumed, and brought back. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import type { LanguageModelingBatch } from "../../../src/data/index.js";
import { SFTConfig, SFTTrainer, type TrainingParts } from "../../../src/trainers/index.js";
import type { Carried, CarriedValues, TrainerCallback } from "../../../src/training/index.js";
import { sftRows, temporaryFolders, tinyModel } from "./tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

/** A tensor and numbers that change in place with every micro-batch but the last of a window, and with every step. */
class Counter implements Carried {
  readonly tensor = DeviceTensor.full([3], 0);
  #numbers: readonly number[] = [0, Infinity];

  add(value: number): void {
    const sum = this.tensor.toNumbers().map((x) => 2 * x + value);
    using next = DeviceTensor.fromHost(sum, [3], "float32");
    this.tensor.copyFrom(next);
    this.#numbers = [this.#numbers[0]! * 3 + value, Infinity];
  }

  state(): CarriedValues {
    return { tensors: { sum: this.tensor }, numbers: { sums: this.#numbers } };
  }

  restore({ tensors, numbers }: CarriedValues): void {
    this.tensor.copyFrom(tensors!["sum"]!);
    this.#numbers = numbers!["sums"]!;
  }

  values(): unknown {
    return [this.tensor.toNumbers(), this.#numbers];
  }
}

class Carrying extends SFTTrainer {
  readonly counter = new Counter();
  carriedNames = ["counter"];
  protected override async prepare(): Promise<TrainingParts<LanguageModelingBatch>> {
    const parts = await super.prepare();
    return { ...parts, carried: Object.fromEntries(this.carriedNames.map((name) => [name, this.counter])) };
  }
}

interface Options {
  readonly resume?: boolean;
  readonly names?: string[];
  readonly signal?: AbortSignal;
}

/** Three windows an epoch, of two, two and one micro-batches. */
async function run(
  outputDir: string,
  { resume = false, names = ["counter"], signal }: Options = {},
  more: TrainerCallback = {},
) {
  const model = await tinyModel();
  const live = liveTensors();
  let held = 0;
  const counting: TrainerCallback = {
    onSubstepEnd: ({ step }) => trainer.counter.add(step),
    onOptimizerStep: ({ step }) => trainer.counter.add(step / 2),
    onStepEnd: () => void (held = liveTensors()),
  };
  const trainer: Carrying = new Carrying({
    model,
    args: new SFTConfig({
      outputDir,
      resumeFromCheckpoint: resume,
      perDeviceTrainBatchSize: 2,
      gradientAccumulationSteps: 2,
      maxSteps: 5,
      saveSteps: 2,
      disableTqdm: true,
    }),
    trainDataset: sftRows(10),
    callbacks: [counting, more],
  });
  trainer.carriedNames = names;
  try {
    await trainer.train(signal === undefined ? {} : { signal });
    return { values: trainer.counter.values(), held: held - live };
  } finally {
    trainer.counter.tensor.dispose();
    model.dispose();
  }
}

it("is saved, and a resumed run goes on with it", async () => {
  const [through, stopped] = [newFolder(), newFolder()];
  const whole = await run(through);
  const stop: TrainerCallback = {
    onStepEnd: ({ step }) => {
      if (step === 3) throw new Error("stopped");
    },
  };
  await expect(run(stopped, {}, stop)).rejects.toThrow("stopped");
  const bytes = readFileSync(join(stopped, "checkpoint-2", "carried.safetensors"));
  expect(bytes.toString("latin1")).toContain('"counter.sum":{"dtype":"F32","shape":[3]');
  expect((await run(stopped, { resume: true })).values).toEqual(whole.values);
});

it("is brought back where a window is interrupted and done again, and copies are freed", async () => {
  const [through, stopped] = [newFolder(), newFolder()];
  const whole = await run(through);
  const controller = new AbortController();
  const stop: TrainerCallback = {
    onSubstepEnd: ({ step }) => {
      if (step === 2) controller.abort();
    },
  };
  await expect(run(stopped, { signal: controller.signal }, stop)).rejects.toThrow("was stopped after step 1");
  const resumed = await run(stopped, { resume: true });
  expect(resumed.values).toEqual(whole.values);
  // The counter and the optimiser's moments; nothing of the snapshots.
  expect(resumed.held).toBe(whole.held);
});

it("must be the same in a resumed run", async () => {
  const folder = newFolder();
  await run(folder);
  await expect(run(folder, { resume: true, names: [] })).rejects.toThrow(
    "run_state.json = counter: is carried in the checkpoint and not in this run.",
  );
  await expect(run(folder, { resume: true, names: ["other"] })).rejects.toThrow(
    "run_state.json = other: is not in the checkpoint.",
  );
});
