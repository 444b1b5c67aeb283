/** @file Our side: a step of SFTTrainer, or of CRAFTSFTTrainer with pairs, as often as the driver asks for one. */
import { parseArgs } from "node:util";
import {
  AutoModelForCausalLM,
  CRAFTSFTConfig,
  CRAFTSFTTrainer,
  makeCraftDatasets,
  SFTConfig,
  SFTTrainer,
  type TrainerCallback,
} from "../../src/index.js";
import { pairRows, rowsPerStep, sftRows } from "../workload.js";
import { lora, trainStepByStep, type Settings } from "./run.js";
import { Session } from "./session.js";

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
const { checkpoint } = given;
if (checkpoint === undefined) throw new Error("--checkpoint is missing");
const alignsItself = given["self-align"];
const task = alignsItself ? "self_align" : given.craft ? "craft_sft" : "sft";
const session = new Session(task, given.once);
const more = JSON.parse(given.config) as Record<string, unknown>;

/** CRAFT with pairs: a micro-batch of rows and one of pairs in each step. Self-align: one, of rows. */
async function makeTrainer(
  common: Settings,
  callbacks: readonly TrainerCallback[],
): Promise<SFTTrainer | CRAFTSFTTrainer> {
  const inFourBits = given["load-in-4bit"]
    ? await AutoModelForCausalLM.fromPretrained(checkpoint!, {
        dtype: "bfloat16",
        quantization: { loadIn4bit: true, bnb4bitQuantType: "nf4", bnb4bitUseDoubleQuant: true },
      })
    : undefined;
  const settings = { ...common, perDeviceTrainBatchSize: rowsPerStep };
  const options = {
    model: inFourBits ?? checkpoint!,
    peftConfig: given.full ? undefined : lora,
    trainDataset: sftRows(inFourBits?.shape.vocabSize),
    callbacks,
  };
  if (task === "sft") return new SFTTrainer({ ...options, args: new SFTConfig({ ...settings, ...more }) });
  const { craftContrastiveBatchSize: pairs = rowsPerStep } = more as { craftContrastiveBatchSize?: number };
  return new CRAFTSFTTrainer({
    ...options,
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
      ? makeCraftDatasets(options.trainDataset, { strategy: "self_align" })
      : makeCraftDatasets(options.trainDataset, { contrastiveDataset: pairRows(pairs) }),
  });
}

await trainStepByStep(session, makeTrainer, { full: given.full });
