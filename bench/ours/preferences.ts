/** @file Our side: a step of DPOTrainer or ORPOTrainer, as often as the driver asks for one. */
import { parseArgs } from "node:util";
import { DPOConfig, DPOTrainer, ORPOConfig, ORPOTrainer } from "../../src/index.js";
import { preferenceRows, rowsPerStep } from "../workload.js";
import { lora, trainStepByStep } from "./run.js";
import { Session } from "./session.js";

const { values: given } = parseArgs({
  options: {
    checkpoint: { type: "string" },
    trainer: { type: "string" },
    once: { type: "boolean", default: false },
  },
});
const { checkpoint, trainer } = given;
if (checkpoint === undefined) throw new Error("--checkpoint is missing");
if (trainer !== "dpo" && trainer !== "orpo") throw new Error("--trainer must be dpo or orpo");
const session = new Session(trainer, given.once);

await trainStepByStep(session, (common, callbacks) => {
  const settings = { ...common, perDeviceTrainBatchSize: rowsPerStep };
  const options = { model: checkpoint, peftConfig: lora, trainDataset: preferenceRows(), callbacks };
  return trainer === "dpo"
    ? new DPOTrainer({ ...options, args: new DPOConfig(settings) })
    : new ORPOTrainer({ ...options, args: new ORPOConfig(settings) });
});
