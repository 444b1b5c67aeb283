/**
 * @file Our side: a rollout and what is learnt from it, as often as the driver asks for one. That is an optimiser step of
 * GRPOTrainer, and several of PPOTrainer.
 */
import { parseArgs } from "node:util";
import {
  AutoModelForCausalLM,
  GRPOConfig,
  GRPOTrainer,
  PPOConfig,
  PPOTrainer,
  type CausalLM,
  type RewardFunction,
} from "../../src/index.js";
import {
  answerTokens,
  completionsPerRollout,
  copies,
  evenShare,
  ppoPasses,
  promptRows,
} from "../workload.js";
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
if (trainer !== "grpo" && trainer !== "ppo") throw new Error("--trainer must be grpo or ppo");
const session = new Session(trainer, given.once);

/** The model without an end token, so that no completion ends early. */
async function endlessModel(): Promise<CausalLM> {
  const model = await AutoModelForCausalLM.fromPretrained(checkpoint!, { dtype: "bfloat16" });
  const none = { bosTokenId: undefined, padTokenId: undefined, doSample: undefined, temperature: undefined };
  const free = { topK: undefined, topP: undefined, maxLength: undefined, maxNewTokens: undefined };
  model.generationConfig = { eosTokenIds: [], ...none, ...free, repetitionPenalty: undefined, json: {} };
  return model;
}

const even: RewardFunction = ({ completionIds }) =>
  completionIds.map((ids) => {
    if (ids.length !== answerTokens) throw new Error(`${ids.length} new tokens instead of ${answerTokens}`);
    return evenShare(ids);
  });

const { epochs, miniBatches } = ppoPasses;
const every = trainer === "grpo" ? 1 : epochs * miniBatches;
await trainStepByStep(
  session,
  async (settings, callbacks) => {
    const model = await endlessModel();
    const options = { model, peftConfig: lora, trainDataset: promptRows(), rewardFuncs: even, callbacks };
    if (trainer === "grpo")
      return new GRPOTrainer({
        ...options,
        args: new GRPOConfig({
          ...settings,
          perDeviceTrainBatchSize: completionsPerRollout,
          numGenerations: copies,
          maxCompletionLength: answerTokens,
        }),
      });
    return new PPOTrainer({
      ...options,
      args: new PPOConfig({
        ...settings,
        perDeviceTrainBatchSize: completionsPerRollout / miniBatches,
        numMiniBatches: miniBatches,
        numPpoEpochs: epochs,
        responseLength: answerTokens,
      }),
    });
  },
  {},
  every,
);
