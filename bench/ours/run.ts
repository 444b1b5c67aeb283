/** @file A trainer of ours whose steps begin when the driver asks for them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTorch, numThreads, type TrainerCallback } from "../../src/index.js";
import { cpuSeconds, Quit, type Session } from "./session.js";

/** Runs trainer.train() itself; only the moment at which each step begins is the driver's. */
class StepByStep implements TrainerCallback {
  readonly #session: Session;
  readonly #facts: Readonly<Record<string, unknown>>;
  readonly #every: number;
  #began = 0;
  #cpuBegan = 0;

  constructor(session: Session, facts: Readonly<Record<string, unknown>>, every: number) {
    this.#session = session;
    this.#facts = facts;
    this.#every = every;
  }

  onTrainBegin(): void {
    this.#session.ready(this.#facts);
    this.#begin();
  }

  onStepEnd({ step, loss }: { readonly step: number; readonly loss: number }): void {
    if (step % this.#every !== 0) return;
    const seconds = (performance.now() - this.#began) / 1000;
    this.#session.finished(seconds, { cpu_seconds: cpuSeconds() - this.#cpuBegan, loss });
    this.#begin();
  }

  #begin(): void {
    if (!this.#session.wait()) throw new Quit();
    this.#began = performance.now();
    this.#cpuBegan = cpuSeconds();
  }
}

/** LoRA as on all sides. */
export const lora = { r: 8, loraAlpha: 16, targetModules: ["q_proj", "k_proj", "v_proj", "o_proj"] };

/** What is not named here is the trainer's own default, as with the peers. */
export interface Settings {
  readonly outputDir: string;
  readonly dtype: string;
  readonly maxSteps: number;
  readonly saveStrategy: string;
  readonly seed: number;
}

/**
 * Trains until the driver has seen enough.
 *
 * @param make makes the trainer of the settings and the callbacks that it is given
 * @param more settings to tell of
 * @param every optimiser steps that make a step of the benchmark
 */
export async function trainStepByStep(
  session: Session,
  make: (
    settings: Settings,
    callbacks: readonly TrainerCallback[],
  ) => { train(): Promise<unknown> } | Promise<{ train(): Promise<unknown> }>,
  more: Readonly<Record<string, unknown>> = {},
  every = 1,
): Promise<void> {
  const outputDir = mkdtempSync(join(tmpdir(), "craft-bench-"));
  process.on("exit", () => rmSync(outputDir, { recursive: true, force: true }));
  const { version } = await loadTorch();
  const facts = {
    versions: { node: process.versions.node, libtorch: version },
    settings: { implementation: "contrastive-ft", ...more, dtype: "bfloat16", threads: numThreads() },
  };
  const settings = { outputDir, dtype: "bfloat16", maxSteps: 100_000, saveStrategy: "no", seed: 0 };
  try {
    const trainer = await make(settings, [new StepByStep(session, facts, every)]);
    await trainer.train();
  } catch (error) {
    if (!(error instanceof Quit)) throw error;
  }
  session.end();
}
