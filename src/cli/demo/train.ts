/** @file The training runs of the demo: SFT, and CRAFT with the same supervised budget. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CRAFTSFTTrainer, type InfoNCELoss } from "../../craft/index.js";
import { AutoModelForCausalLM, type CausalLM } from "../../models/index.js";
import type { LoraOptions } from "../../peft/index.js";
import type { Tokenizer } from "../../text/index.js";
import { SFTConfig, SFTTrainer } from "../../trainers/index.js";
import type { LogEntry } from "../../training/index.js";
import { craftConfig, rowsPerStep, settingsOf, type CraftRun, type RunSettings } from "./craft_runs.js";

export interface DemoRows {
  readonly training: readonly { readonly prompt: string; readonly completion: string }[];
  readonly pairs: readonly { readonly anchor: string; readonly positive: string }[];
}

export interface DemoRun {
  readonly folder: string;
  readonly tokenizer: Tokenizer;
  readonly rows: DemoRows;
  readonly steps: number;
  readonly seed: number;
  /** Train adapters of this shape instead of all weights. */
  readonly lora: LoraOptions | undefined;
  /** Show no progress. */
  readonly quiet?: boolean;
}

export interface TrainedModel {
  readonly model: CausalLM;
  /** The projection head, where there is one. */
  readonly head: InfoNCELoss | undefined;
  readonly log: readonly LogEntry[];
  readonly seconds: number;
  /** Of a CRAFT run. */
  readonly settings: RunSettings | undefined;
}

/** Trains a fresh copy of the model: with SFT alone, or with CRAFT on the same supervised batches. */
export async function trainDemo(run: DemoRun, craft?: CraftRun): Promise<TrainedModel> {
  const outputDir = mkdtempSync(join(tmpdir(), "craft-demo-"));
  const log: LogEntry[] = [];
  const model = await AutoModelForCausalLM.fromPretrained(run.folder);
  const options = {
    outputDir,
    perDeviceTrainBatchSize: rowsPerStep,
    maxSteps: run.steps,
    learningRate: run.lora === undefined ? 1e-3 : 5e-4,
    lrSchedulerType: "cosine",
    warmupSteps: Math.min(20, Math.ceil(run.steps / 10)),
    weightDecay: 0.01,
    groupByLength: true,
    maxLength: Math.min(256, model.shape.maxLength),
    saveStrategy: "no",
    loggingSteps: Math.max(1, Math.round(run.steps / 60)),
    seed: run.seed,
    disableTqdm: run.quiet ?? false,
  } as const;
  const common = {
    model,
    tokenizer: run.tokenizer,
    trainDataset: run.rows.training,
    peftConfig: run.lora,
    callbacks: [{ onLog: (entry: LogEntry) => void log.push(entry) }],
  };
  const config = craft === undefined ? undefined : craftConfig(craft, options);
  const trainer =
    config === undefined
      ? new SFTTrainer({ ...common, args: new SFTConfig(options) })
      : new CRAFTSFTTrainer({ ...common, ...pairsFor(craft, run.rows), args: config });
  try {
    const { seconds } = await trainer.train();
    return {
      model,
      head: trainer instanceof CRAFTSFTTrainer ? trainer.infoNCE : undefined,
      log,
      seconds,
      settings: craft && config && settingsOf(craft, config, run.steps),
    };
  } finally {
    rmSync(outputDir, { recursive: true, force: true });
  }
}

/** With self-align the supervised rows are the pairs. */
const pairsFor = (craft: CraftRun | undefined, rows: DemoRows) =>
  craft?.strategy === "paired_dataset"
    ? {
        contrastiveDataset: rows.pairs,
        contrastiveColumns: { anchor: "anchor", positive: "positive" },
      }
    : {};
