/** @file The trainers that go on from the SFT model, each without CRAFT and with it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForCausalLM, type CausalLM } from "../../../models/index.js";
import type { Tokenizer } from "../../../text/index.js";
import { PPOTrainer } from "../../../trainers/index.js";
import type { LogEntry } from "../../../training/index.js";
import type { Method } from "./methods.js";
import type { PreferenceRow } from "./preferences.js";
import type { PromptRow } from "./prompts.js";
import { hasHead, trainerOf } from "./trainers.js";

/** What a run is given. */
export interface AfterSftRun {
  readonly method: Method;
  /** Of the SFT model, which each run loads anew. */
  readonly folder: string;
  readonly tokenizer: Tokenizer;
  /** What DPO and ORPO train on. */
  readonly preferences: readonly PreferenceRow[];
  /** What GRPO and PPO train on. */
  readonly prompts: readonly PromptRow[];
  /** CRAFT's pairs. */
  readonly pairs: readonly { readonly anchor: string; readonly positive: string }[];
  readonly steps: number;
  /** Pairs, or completions, of a step. */
  readonly rows: number;
  readonly seed: number;
  /** Show no progress. */
  readonly quiet?: boolean;
}

export interface AfterSftModel {
  readonly model: CausalLM;
  readonly log: readonly LogEntry[];
  readonly seconds: number;
  /** Frees the model and what CRAFT trained beside it. */
  dispose(): void;
}

/** Trains the SFT model further. */
export async function trainAfterSft(run: AfterSftRun, withCraft: boolean): Promise<AfterSftModel> {
  const outputDir = mkdtempSync(join(tmpdir(), "craft-demo-"));
  const model = await AutoModelForCausalLM.fromPretrained(run.folder);
  const log: LogEntry[] = [];
  const data = {
    model,
    tokenizer: run.tokenizer,
    callbacks: [{ onLog: (entry: LogEntry) => void log.push(entry) }],
  };
  const options = {
    outputDir,
    perDeviceTrainBatchSize: run.rows,
    maxSteps: run.steps,
    warmupSteps: Math.min(10, Math.ceil(run.steps / 10)),
    lrSchedulerType: "cosine",
    saveStrategy: "no",
    loggingSteps: Math.max(1, Math.round(run.steps / 40)),
    seed: run.seed,
    disableTqdm: run.quiet ?? false,
  } as const;
  const pairs = {
    contrastiveDataset: run.pairs,
    contrastiveColumns: { anchor: "anchor", positive: "positive" },
  };
  const trainer = trainerOf(run, data, options, withCraft ? pairs : undefined);
  try {
    const { seconds } = await trainer.train();
    const head = hasHead(trainer) ? trainer.infoNCE : undefined;
    const values = trainer instanceof PPOTrainer ? trainer.valueHead : undefined;
    const dispose = (): void => {
      model.dispose();
      head?.dispose();
      values?.dispose();
    };
    return { model, log, seconds, dispose };
  } catch (error) {
    model.dispose();
    throw error;
  } finally {
    rmSync(outputDir, { recursive: true, force: true });
  }
}
