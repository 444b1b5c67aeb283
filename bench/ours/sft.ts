/** @file Our side: a step of SFTTrainer, or of CRAFTSFTTrainer with pairs, as often as the driver asks for one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  AutoModelForCausalLM,
  CRAFTSFTConfig,
  CRAFTSFTTrainer,
  loadTorch,
  makeCraftDatasets,
  numThreads,
  SFTConfig,
  SFTTrainer,
  type TrainerCallback,
} from "../../src/index.js";
import { pairRows, rowsPerStep, sftRows } from "../workload.js";
import { cpuSeconds, Quit, Session } from "./session.js";

const { values: given } = parseArgs({
  options: {
    checkpoint: { type: "string" },
    craft: { type: "boolean", default: false },
    "self-align": { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    "load-in-4bit": { type: "boolean", default: false },
    // More options of the trainer, as JSON.
    config: { type: "string", default: "{}" },
    once: { type: "boolean", default: false },
  },
});
if (given.checkpoint === undefined) throw new Error("--checkpoint is missing");
const alignsItself = given["self-align"];
const task = alignsItself ? "self_align" : given.craft ? "craft_sft" : "sft";
const session = new Session(task, given.once);

/** Runs trainer.train() itself; only the moment at which each step begins is the driver's. */
class StepByStep implements TrainerCallback {
  readonly #facts: Readonly<Record<string, unknown>>;
  #began = 0;
  #cpuBegan = 0;

  constructor(facts: Readonly<Record<string, unknown>>) {
    this.#facts = facts;
  }

  onTrainBegin(): void {
    session.ready(this.#facts);
    this.#begin();
  }

  onStepEnd({ loss }: { readonly loss: number }): void {
    const seconds = (performance.now() - this.#began) / 1000;
    session.finished(seconds, { cpu_seconds: cpuSeconds() - this.#cpuBegan, loss });
    this.#begin();
  }

  #begin(): void {
    if (!session.wait()) throw new Quit();
    this.#began = performance.now();
    this.#cpuBegan = cpuSeconds();
  }
}

const outputDir = mkdtempSync(join(tmpdir(), "craft-bench-"));
process.on("exit", () => rmSync(outputDir, { recursive: true, force: true }));

const { version } = await loadTorch();
const facts = {
  versions: { node: process.versions.node, libtorch: version },
  settings: { implementation: "contrastive-ft", full: given.full, dtype: "bfloat16", threads: numThreads() },
};
const inFourBits = given["load-in-4bit"]
  ? await AutoModelForCausalLM.fromPretrained(given.checkpoint, {
      dtype: "bfloat16",
      quantization: { loadIn4bit: true, bnb4bitQuantType: "nf4", bnb4bitUseDoubleQuant: true },
    })
  : undefined;
const common = {
  model: inFourBits ?? given.checkpoint,
  peftConfig: given.full
    ? undefined
    : { r: 8, loraAlpha: 16, targetModules: ["q_proj", "k_proj", "v_proj", "o_proj"] },
  trainDataset: sftRows(inFourBits?.shape.vocabSize),
  callbacks: [new StepByStep(facts)],
};
// What is not named here is the trainer's own default, as with the peers.
const settings = {
  outputDir,
  dtype: "bfloat16",
  perDeviceTrainBatchSize: rowsPerStep,
  maxSteps: 100_000,
  saveStrategy: "no",
  seed: 0,
};
const more = JSON.parse(given.config) as Record<string, unknown>;

/** CRAFT with pairs: a micro-batch of rows and one of pairs in each step. Self-align: one, of rows. */
function craftTrainer(): CRAFTSFTTrainer {
  const { craftContrastiveBatchSize: pairs = rowsPerStep } = more as { craftContrastiveBatchSize?: number };
  return new CRAFTSFTTrainer({
    ...common,
    args: new CRAFTSFTConfig({
      ...settings,
      gradientAccumulationSteps: alignsItself ? 1 : 2,
      craftAlpha: 0.6,
      craftBeta: alignsItself ? 0 : 0.5,
      craftPooling: "last_token",
      craftProjectionDim: 256,
      ...more,
    }),
    craftBundle: alignsItself
      ? makeCraftDatasets(common.trainDataset, { strategy: "self_align" })
      : makeCraftDatasets(common.trainDataset, { contrastiveDataset: pairRows(pairs) }),
  });
}

const trainer =
  task === "sft"
    ? new SFTTrainer({ ...common, args: new SFTConfig({ ...settings, ...more }) })
    : craftTrainer();

try {
  await trainer.train();
} catch (error) {
  if (!(error instanceof Quit)) throw error;
}
session.end();
