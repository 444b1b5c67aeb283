/** @file What happens when in a run: against transformers' Trainer (parity/flow.py), and by hand. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadTorch } from "../../../src/torch/torch.js";
import { SFTConfig, SFTTrainer, type TrainOptions } from "../../../src/trainers/index.js";
import {
  EarlyStoppingCallback,
  TrainingInterrupted,
  type TrainerCallback,
  type TrainerState,
} from "../../../src/training/index.js";
import { readLog, temporaryFolders, tinyModel, withoutTimes } from "./tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const rows = Array.from({ length: 10 }, (_, i) => ({
  input_ids: [3 + i, 4, 5, 6],
  labels: [3 + i, 4, 5, 6],
}));
type Options = Readonly<Record<string, unknown>>;

/** Evaluations whose loss is scripted: one number for each. */
class Scripted extends SFTTrainer {
  losses: number[] | undefined;
  protected override async evaluations() {
    const own = await super.evaluations();
    return this.losses === undefined
      ? own
      : [() => Promise.resolve({ eval_loss: this.losses!.shift(), eval_runtime: 0 })];
  }
}

interface Run {
  readonly callbacks?: readonly TrainerCallback[];
  readonly losses?: readonly number[];
  readonly train?: TrainOptions;
}

/** Three steps an epoch, the last of them short. */
async function run(outputDir: string, options: Options, { callbacks = [], losses, train }: Run = {}) {
  const model = await tinyModel();
  const trainer = new Scripted({
    model,
    args: new SFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 2,
      perDeviceEvalBatchSize: 2,
      gradientAccumulationSteps: 2,
      disableTqdm: true,
      ...options,
    }),
    trainDataset: rows,
    evalDataset: rows.slice(0, 4),
    callbacks,
  });
  trainer.losses = losses === undefined ? undefined : [...losses];
  try {
    return await trainer.train(train);
  } finally {
    model.dispose();
  }
}

const checkpoints = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.startsWith("checkpoint"))
    .sort();
const json = (...path: string[]): Record<string, unknown> =>
  JSON.parse(readFileSync(join(...path), "utf8")) as Record<string, unknown>;

const events = [
  "onTrainBegin",
  "onEpochBegin",
  "onStepBegin",
  "onSubstepEnd",
  "onPreOptimizerStep",
  "onOptimizerStep",
  "onStepEnd",
  "onLog",
  "onEvaluate",
  "onSave",
  "onPredictionStep",
  "onEpochEnd",
  "onTrainEnd",
] as const;

function recorder(heard: (readonly [string, number])[]): TrainerCallback {
  return Object.fromEntries(
    events.map((name) => [
      name,
      (_: unknown, { state }: { readonly state: TrainerState }) =>
        heard.push([name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), state.globalStep]),
    ]),
  );
}

interface Reference {
  readonly options: Options;
  readonly events: readonly (readonly [string, number])[];
  readonly checkpoints: readonly string[];
  readonly state: Readonly<Record<string, unknown>> | null;
}
const { runs } = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../fixtures/training/flow.json"), "utf8"),
) as { readonly runs: readonly Reference[] };

describe("against transformers", () => {
  it.each(runs)("$options", async (reference) => {
    const folder = newFolder();
    const heard: (readonly [string, number])[] = [];
    await run(folder, reference.options, { callbacks: [recorder(heard)] });
    // The first evaluation comes before the first epoch in both; there are no further differences.
    expect(heard).toEqual(reference.events);
    expect(checkpoints(folder)).toEqual(reference.checkpoints);
    if (reference.state === null) return;
    const state = json(folder, checkpoints(folder).at(-1)!, "trainer_state.json");
    expect(Object.keys(state)).toEqual(Object.keys(reference.state));
    // Tokens are always counted here, and operations by real tokens.
    const own = new Set(["log_history", "num_input_tokens_seen", "total_flos"]);
    const common = (of: Readonly<Record<string, unknown>>) =>
      Object.fromEntries(Object.entries(of).filter(([name]) => !own.has(name)));
    expect(common(state)).toEqual(common(reference.state));
    expect(state["num_input_tokens_seen"]).toBe(2 * 10 * 4);
  });
});

const judged = {
  evalStrategy: "steps",
  evalSteps: 1,
  saveSteps: 1,
  maxSteps: 6,
  learningRate: 1e-2,
  loadBestModelAtEnd: true,
};
const weights = (...path: string[]): Buffer => readFileSync(join(...path, "model.safetensors"));

describe("the best checkpoint", () => {
  it("is the result, and is never deleted", async () => {
    const folder = newFolder();
    await run(folder, { ...judged, saveTotalLimit: 2 }, { losses: [3, 1, 2, 1, 5, 4] });
    expect(checkpoints(folder)).toEqual(["checkpoint-2", "checkpoint-6"]);
    expect(weights(folder).equals(weights(folder, "checkpoint-2"))).toBe(true);
    expect(weights(folder).equals(weights(folder, "checkpoint-6"))).toBe(false);
    expect(json(folder, "checkpoint-6", "trainer_state.json")).toMatchObject({
      best_metric: 1,
      best_global_step: 2,
      best_model_checkpoint: join(folder, "checkpoint-2"),
    });
  });

  it("alone is left with a limit of 1, once the run is over", async () => {
    const folder = newFolder();
    const seen: string[][] = [];
    const callbacks = [{ onSave: () => seen.push(checkpoints(folder)) }];
    await run(folder, { ...judged, maxSteps: 3, saveTotalLimit: 1 }, { losses: [1, 2, 3], callbacks });
    expect(seen.at(-1)).toEqual(["checkpoint-1", "checkpoint-3"]);
    expect(checkpoints(folder)).toEqual(["checkpoint-1"]);
  });

  it("goes by higher values where greater_is_better", async () => {
    const folder = newFolder();
    await run(folder, { ...judged, maxSteps: 3, greaterIsBetter: true }, { losses: [1, 3, 2] });
    expect(weights(folder).equals(weights(folder, "checkpoint-2"))).toBe(true);
  });

  it("is all that save_strategy best writes", async () => {
    const folder = newFolder();
    const options = {
      ...judged,
      saveStrategy: "best",
      loadBestModelAtEnd: false,
      metricForBestModel: "loss",
    };
    await run(folder, options, { losses: [3, 4, 2, 2, 1, 9] });
    expect(checkpoints(folder)).toEqual(["checkpoint-1", "checkpoint-3", "checkpoint-5"]);
  });

  it("needs a metric that evaluations have", async () => {
    const options = { ...judged, metricForBestModel: "bleu", greaterIsBetter: true };
    await expect(run(newFolder(), options, { losses: [1] })).rejects.toThrow(
      "metric_for_best_model = eval_bleu: is not among the metrics of the evaluation. There are eval_loss, eval_runtime.",
    );
  });

  it("saved with save_only_model cannot be resumed", async () => {
    const folder = newFolder();
    await run(folder, { maxSteps: 2, saveSteps: 1, saveOnlyModel: true });
    expect(readdirSync(join(folder, "checkpoint-2")).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "trainer_state.json",
    ]);
    await expect(run(folder, { maxSteps: 2, resumeFromCheckpoint: true })).rejects.toThrow(
      `the checkpoints in ${folder} hold the model only, as with save_only_model`,
    );
    const path = join(folder, "checkpoint-1");
    await expect(run(folder, { maxSteps: 2, resumeFromCheckpoint: path })).rejects.toThrow(
      "cannot be resumed",
    );
  });
});

describe("control", () => {
  it("of early stopping ends the run when the metric has not improved", async () => {
    const folder = newFolder();
    const stopping = () =>
      new EarlyStoppingCallback({ earlyStoppingPatience: 2, earlyStoppingThreshold: 0.5 });
    const options = { ...judged, maxSteps: 9 };
    // 2.7 and 2.6 are no improvement by more than 0.5 on the best value before them, 3 and 2.7.
    const losses = [4, 3, 2.7, 2.6, 1];
    const { globalStep } = await run(folder, options, { losses, callbacks: [stopping()] });
    expect(globalStep).toBe(4);
    // A resumed run stops at the same place again.
    const again = { ...options, resumeFromCheckpoint: true };
    const resumed = await run(folder, again, { losses: [], callbacks: [stopping()] });
    expect(resumed.globalStep).toBe(4);
    const other = [new EarlyStoppingCallback({ earlyStoppingPatience: 3, earlyStoppingThreshold: 0.5 })];
    await expect(run(folder, again, { callbacks: other })).rejects.toThrow(
      "EarlyStoppingCallback.early_stopping_patience was 2 and is 3",
    );
  });

  it("of early stopping is refused without evaluations", async () => {
    await expect(
      run(newFolder(), { maxSteps: 1 }, { callbacks: [new EarlyStoppingCallback()] }),
    ).rejects.toThrow("EarlyStoppingCallback: has nothing to go by: metric_for_best_model is not set.");
  });

  it("lets callbacks log, evaluate, save, leave an epoch and stop", async () => {
    const folder = newFolder();
    const heard: (readonly [string, number])[] = [];
    const steering: TrainerCallback = {
      onStepEnd: ({ step }, { control }) => {
        control.shouldLog = step === 1;
        control.shouldEvaluate = step === 2;
        control.shouldSave = step === 2;
        control.shouldEpochStop = step === 2;
        control.shouldTrainingStop = step === 4;
      },
    };
    const options = { maxSteps: 9, loggingStrategy: "no", saveStrategy: "no" };
    await run(folder, options, { callbacks: [steering, recorder(heard)] });
    const of = (...names: string[]) =>
      heard.filter(([name]) => names.includes(name)).map(([name, step]) => `${name}@${step}`);
    expect(of("on_log", "on_evaluate", "on_save")).toEqual(["on_log@1", "on_evaluate@2", "on_save@2"]);
    expect(of("on_epoch_begin", "on_epoch_end", "on_train_end")).toEqual([
      "on_epoch_begin@0",
      "on_epoch_end@2",
      "on_epoch_begin@2",
      "on_epoch_end@4",
      "on_train_end@4",
    ]);
    expect(json(folder, "checkpoint-2", "run_state.json")["loop"]).toMatchObject({
      loader: { epoch: 1, position: 0 },
    });
  });

  it("of a plateau lowers the rate", async () => {
    const folder = newFolder();
    const options = {
      ...judged,
      loadBestModelAtEnd: false,
      loggingSteps: 1,
      lrSchedulerType: "reduce_lr_on_plateau",
      lrSchedulerKwargs: { patience: 1, factor: 0.5 },
    };
    await run(folder, options, { losses: [2, 3, 3, 3, 3, 3] });
    const rates = readLog(folder).flatMap(({ learning_rate: rate }) => (rate === undefined ? [] : [rate]));
    expect(rates).toEqual([1e-2, 1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3]);
  });
});

const stopAt = (
  event: (typeof events)[number],
  at: number,
  stop: () => void,
): { callback: TrainerCallback; count: () => number } => {
  let count = 0;
  return { callback: { [event]: () => void (++count === at && stop()) }, count: () => count };
};

describe("an interruption", () => {
  const options = {
    maxSteps: 5,
    learningRate: 1e-2,
    loggingSteps: 2,
    evalStrategy: "epoch",
    evalOnStart: true,
    saveStrategy: "no",
    lrSchedulerType: "cosine",
  };

  it.each([
    ["onPredictionStep", 1, 0],
    ["onSubstepEnd", 1, 0],
    ["onSubstepEnd", 2, 1],
    ["onStepEnd", 2, 2],
    ["onStepEnd", 3, 3],
    // In the middle of the evaluation of the first epoch, after the two batches of the first evaluation.
    ["onPredictionStep", 3, 3],
    ["onEpochBegin", 2, 3],
    ["onStepEnd", 5, 5],
    ["onPredictionStep", 6, 5],
  ] as const)("in %s, the %i. time, is made up for exactly", async (event, at, step) => {
    const [through, folder] = [newFolder(), newFolder()];
    await run(through, options);
    const controller = new AbortController();
    const { callback, count } = stopAt(event, at, () => controller.abort("enough"));
    const stopped = await run(folder, options, {
      callbacks: [callback],
      train: { signal: controller.signal },
    }).catch((error: unknown) => error);
    expect(stopped).toBeInstanceOf(TrainingInterrupted);
    expect(stopped).toMatchObject({
      signal: "abort",
      step,
      checkpoint: join(folder, `checkpoint-${step}`),
      cause: "enough",
    });
    expect(count()).toBe(at);
    expect(existsSync(join(folder, "model.safetensors"))).toBe(false);

    const { globalStep, trainingLoss } = await run(folder, { ...options, resumeFromCheckpoint: true });
    expect(globalStep).toBe(5);
    expect(trainingLoss).toBeGreaterThan(0);
    expect(weights(folder).equals(weights(through))).toBe(true);
    expect(withoutTimes(readLog(folder))).toEqual(withoutTimes(readLog(through)));
  });

  it.each(["SIGINT", "SIGTERM"] as const)("by %s does the same, while a run goes on", async (signal) => {
    const folder = newFolder();
    const before = [process.listenerCount("SIGINT"), process.listenerCount("SIGTERM")];
    const listening: number[] = [];
    const notices: string[] = [];
    const { callback } = stopAt("onSubstepEnd", 2, () => {
      process.emit(signal, signal);
      // From here on, a second one would end the process.
      listening.push(process.listenerCount(signal));
    });
    const stopped = await run(folder, options, {
      callbacks: [callback, { onNotice: (notice) => notices.push(notice) }],
    }).catch((error: unknown) => error);
    expect(stopped).toMatchObject({ signal, step: 1 });
    expect(listening).toEqual([before[0]]);
    expect(notices).toEqual([`${signal}: saving after this micro-batch; once more stops at once`]);
    expect([process.listenerCount("SIGINT"), process.listenerCount("SIGTERM")]).toEqual(before);
  });

  it("does not listen to signals where it is told not to", async () => {
    const before = process.listenerCount("SIGINT");
    const during: number[] = [];
    const callbacks = [{ onStepEnd: () => during.push(process.listenerCount("SIGINT")) }];
    await run(newFolder(), { maxSteps: 1 }, { callbacks, train: { handleSignals: false } });
    await run(newFolder(), { maxSteps: 1 }, { callbacks });
    expect(during).toEqual([before, before + 1]);
  });

  it("before a run begins ends it with nothing done", async () => {
    const folder = newFolder();
    await expect(run(folder, options, { train: { signal: AbortSignal.abort() } })).rejects.toThrow("abort");
    expect(existsSync(folder)).toBe(false);
  });
});
