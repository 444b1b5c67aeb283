/** @file The options of PPO. */
import { z } from "zod";
import { CraftError } from "../../errors.js";
import { optionName, parseOptions, trainingFields } from "../../training/arguments.js";
import { modelFields } from "../fields.js";
import { rolloutFields } from "../rollouts/config.js";
import { klEstimators } from "./advantages.js";

const count = z.int().min(1);
const { maxCompletionLength: _inGrpo, ...sharedFields } = rolloutFields;

/** The options of PPO, with the names and defaults of TRL's PPOConfig; those of the adaptive controller as it had them. */
export const ppoFields = {
  ...trainingFields,
  learningRate: trainingFields.learningRate
    .default(3e-6)
    .describe("Highest learning rate. TRL's default for PPO."),
  ...sharedFields,
  temperature: rolloutFields.temperature.default(0.7),
  responseLength: count.default(53).describe("Most tokens of a completion."),
  stopTokenId: z
    .int()
    .min(0)
    .optional()
    .describe("The token that ends a completion; the model's by default."),
  totalEpisodes: count
    .optional()
    .describe("Completions of the whole run, in the place of numTrainEpochs and maxSteps."),
  numMiniBatches: count
    .default(1)
    .describe("Optimiser steps in each pass over a rollout: it has as many times the completions of a step."),
  numPpoEpochs: count.default(4).describe("Passes over each rollout."),
  missingEosPenalty: z
    .number()
    .min(0)
    .optional()
    .describe("Taken off the score of completions that were cut off."),
  whitenRewards: z.boolean().default(false).describe("Scale the rewards of tokens to variance 1."),
  klCoef: z
    .number()
    .min(0)
    .default(0.05)
    .describe("Weight of the divergence from the reference; 0 needs none."),
  klEstimator: z.enum(klEstimators).default("k1").describe("How the divergence is estimated."),
  adapKlCtrl: z.boolean().default(false).describe("Steer klCoef so that the divergence comes to `target`."),
  target: z
    .number()
    .gt(0)
    .default(6)
    .describe("Divergence of a completion, in nats, that klCoef is steered to."),
  horizon: count.default(10000).describe("Completions over which klCoef is steered."),
  cliprange: z
    .number()
    .gt(0)
    .default(0.2)
    .describe("Ratios of the policy are clipped to 1 plus or minus this."),
  cliprangeValue: z
    .number()
    .gt(0)
    .default(0.2)
    .describe("Values are clipped to the old ones plus or minus this."),
  vfCoef: z.number().min(0).default(0.1).describe("Weight of the loss of values."),
  gamma: z.number().gt(0).max(1).default(1).describe("How much later rewards count, per token."),
  lam: z
    .number()
    .min(0)
    .max(1)
    .default(0.95)
    .describe("Between one step of the values (0) and all rewards (1)."),
  recomputeLogProbs: z
    .boolean()
    .default(false)
    .describe(
      "Compute the old policy's log-probabilities in a pass of their own; by default the sampler's count.",
    ),
  ...modelFields,
};

export const ppoSchema = z.strictObject(ppoFields);
export type PPOOptions = z.input<typeof ppoSchema>;
export type PPOArguments = z.output<typeof ppoSchema>;

/** The options of {@link PPOTrainer}, checked; see `ppoFields` for each. Names may be camelCase or snake_case. */
export class PPOConfig {
  readonly values: PPOArguments;

  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: PPOOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = withEpisodes(parseOptions(ppoSchema, { ...options }, "PPOConfig"));
    checkPpo(this.values);
  }
}

/** Completions of a rollout, and the micro-batches that they make. */
export function rolloutSize(args: PPOArguments): { readonly rows: number; readonly microBatches: number } {
  const microBatches = args.gradientAccumulationSteps * args.numMiniBatches;
  return { rows: microBatches * args.perDeviceTrainBatchSize, microBatches };
}

/** Options with `maxSteps` for the episodes that are asked for, if any are. */
export function withEpisodes<A extends PPOArguments>(args: A): A {
  const { totalEpisodes, maxSteps, numPpoEpochs, numMiniBatches } = args;
  if (totalEpisodes === undefined) return args;
  if (maxSteps > 0)
    throw new CraftError({
      subject: "total_episodes",
      value: totalEpisodes,
      reason: `says how long the run is, and so does max_steps = ${maxSteps}`,
      remedy: "Give one of both.",
    });
  const rollouts = Math.ceil(totalEpisodes / rolloutSize(args).rows);
  return { ...args, maxSteps: rollouts * numPpoEpochs * numMiniBatches };
}

/** @throws CraftError for options that do nothing beside the others. */
export function checkPpo(args: PPOArguments): void {
  const set = (name: keyof PPOArguments): boolean => args[name] !== ppoFields[name].safeParse(undefined).data;
  for (const [names, matters, otherwise] of [
    [["target", "horizon"], args.adapKlCtrl, "adap_kl_ctrl is not set"],
    [["klEstimator"], args.klCoef > 0, "kl_coef is 0"],
    [["groupByLength", "dataloaderDropLast"], false, "prompts come in whole rollouts, by the seed"],
    [["numCompletionsToPrint", "logUniquePrompts"], args.logCompletions, "log_completions is not set"],
  ] as const) {
    const idle = matters ? undefined : names.find(set);
    if (idle === undefined) continue;
    throw new CraftError({
      subject: optionName(idle),
      value: args[idle],
      reason: `has no effect: ${otherwise}`,
      remedy: "Leave it out, or change the other option.",
    });
  }
  if (args.adapKlCtrl && args.klCoef === 0)
    throw new CraftError({
      subject: "kl_coef",
      value: 0,
      reason: "is what adap_kl_ctrl multiplies, and would stay 0",
      remedy: "Give a number above 0 to begin with.",
    });
}
