/** @file The options of GRPO. */
import { z } from "zod";
import { CraftError } from "../../errors.js";
import { optionName, parseOptions, trainingFields } from "../../training/arguments.js";
import { modelFields } from "../fields.js";
import { rolloutFields } from "../rollouts/config.js";
import { aggregations, rewardScalings } from "./advantages.js";
import { grpoLossTypes } from "./losses.js";

const count = z.int().min(1);

/** The options of GRPO, with TRL's names and defaults. */
export const grpoFields = {
  ...trainingFields,
  learningRate: trainingFields.learningRate
    .default(1e-6)
    .describe("Highest learning rate. TRL's default for GRPO."),
  ...rolloutFields,
  numGenerations: z
    .int()
    .min(
      2,
      "must be 2 or more: an answer is judged by the others to its prompt, so that a group of one teaches nothing",
    )
    .default(8)
    .describe("Completions of each prompt, which are compared with each other."),
  numGenerationsEval: count.optional().describe("The same in evaluations; by default as in training."),
  generationBatchSize: count
    .optional()
    .describe("Completions that are made at a time; or give stepsPerGeneration."),
  stepsPerGeneration: count
    .optional()
    .describe("Micro-batches that are made at a time; gradientAccumulationSteps by default."),
  numIterations: count.default(1).describe("How often a micro-batch is trained on."),
  beta: z.number().min(0).default(0).describe("Weight of the divergence from the reference; 0 needs none."),
  useBiasCorrectionKl: z.boolean().default(true).describe("Multiply the divergence by the importance ratio."),
  epsilon: z.number().gt(0).default(0.2).describe("Ratios below 1 - epsilon are clipped."),
  epsilonHigh: z
    .number()
    .gt(0)
    .optional()
    .describe(
      "Ratios above 1 + epsilonHigh are clipped; epsilon by default. Of cispo the greatest ratio itself.",
    ),
  delta: z.number().gt(0).optional().describe("Upper bound of ratios where clipping leaves them free."),
  importanceSamplingLevel: z
    .enum(["token", "sequence"])
    .default("token")
    .describe("Ratios of tokens, or of whole completions (GSPO)."),
  lossType: z.enum(grpoLossTypes).default("dapo").describe("The loss and what it is averaged over."),
  multiObjectiveAggregation: z
    .enum(aggregations)
    .default("sum_then_normalize")
    .describe("Whether rewards are summed before they are normalised, or after."),
  scaleRewards: z
    .union([z.enum(rewardScalings), z.boolean()])
    .default("group")
    .transform((value) => (value === true ? "group" : value === false ? "none" : value))
    .describe("Standard deviation that advantages are divided by: the group's, the batch's, or none."),
  maskTruncatedCompletions: z
    .boolean()
    .default(false)
    .describe("Learn nothing from completions that were cut off."),
  offPolicyMaskThreshold: z
    .number()
    .optional()
    .describe("Leave out worse answers that the policy has moved away from further, in nats a token."),
  topEntropyQuantile: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe("Share of tokens, the least certain ones, that the policy's loss is of."),
  entropyCoef: z.number().min(0).default(0).describe("Weight of the bonus for uncertainty."),
  useAdaptiveEntropy: z.boolean().default(false).describe("Steer entropyCoef after each step."),
  entropyCoefMin: z.number().min(0).default(0).describe("Least entropyCoef."),
  entropyCoefMax: z.number().min(0).default(1).describe("Greatest entropyCoef."),
  entropyCoefDelta: z.number().gt(0).default(0.005).describe("Change of entropyCoef in a step."),
  entropyTarget: z.number().min(0).default(0.2).describe("Entropy, in nats, below which there is a bonus."),
  sapoTemperaturePos: z.number().gt(0).default(1).describe("Of sapo, for better answers."),
  sapoTemperatureNeg: z.number().gt(0).default(1.05).describe("Of sapo, for worse answers."),
  vespoKPos: z.number().default(2).describe("Of vespo, for better answers."),
  vespoLambdaPos: z.number().default(3).describe("Of vespo, for better answers."),
  vespoKNeg: z.number().default(3).describe("Of vespo, for worse answers."),
  vespoLambdaNeg: z.number().default(2).describe("Of vespo, for worse answers."),
  recomputeLogProbs: z
    .boolean()
    .default(false)
    .describe(
      "Compute the old policy's log-probabilities in a pass of their own; by default the sampler's count.",
    ),
  ...modelFields,
};

export const grpoSchema = z.strictObject(grpoFields);
export type GRPOOptions = z.input<typeof grpoSchema>;
export type GRPOArguments = z.output<typeof grpoSchema>;

/** The options of {@link GRPOTrainer}, checked; see `grpoFields` for each. Names may be camelCase or snake_case. */
export class GRPOConfig {
  readonly values: GRPOArguments;

  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: GRPOOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(grpoSchema, { ...options }, "GRPOConfig");
    checkGrpo(this.values);
  }
}

/** How completions are made and used. */
export interface GenerationPlan {
  /** Micro-batches of a rollout. */
  readonly microBatches: number;
  /** Prompts of a rollout. */
  readonly prompts: number;
  /** Whether micro-batches come at a time when the policy is no longer the one that the completions are from. */
  readonly reuses: boolean;
}

/** @throws CraftError for batches that are no whole groups. */
export function generationPlan(args: GRPOArguments): GenerationPlan {
  const {
    perDeviceTrainBatchSize: size,
    gradientAccumulationSteps: window,
    numGenerations,
    numIterations,
  } = args;
  const { generationBatchSize: whole, stepsPerGeneration: steps } = args;
  if (whole !== undefined && whole % size !== 0)
    throw new CraftError({
      subject: "generation_batch_size",
      value: whole,
      reason: `is no multiple of per_device_train_batch_size = ${size}`,
    });
  const microBatches = steps ?? (whole === undefined ? window : whole / size);
  const completions = microBatches * size;
  if (completions % numGenerations !== 0)
    throw new CraftError({
      subject: "num_generations",
      value: numGenerations,
      reason: `does not divide the ${completions} completions that are made at a time (per_device_train_batch_size = ${size} times ${microBatches})`,
      remedy: "Groups must be whole: change one of them.",
    });
  return {
    microBatches,
    prompts: completions / numGenerations,
    reuses: window % (microBatches * numIterations) !== 0,
  };
}

/** @throws CraftError for options that contradict each other or do nothing beside the others. */
export function checkGrpo(args: GRPOArguments): void {
  if (args.generationBatchSize !== undefined && args.stepsPerGeneration !== undefined)
    throw new CraftError({
      subject: "generation_batch_size",
      value: args.generationBatchSize,
      reason: "says the same as steps_per_generation, which is given too",
      remedy: "Give one of both.",
    });
  generationPlan(args);
  const { numGenerationsEval: inEval = args.numGenerations, perDeviceEvalBatchSize: evalSize } = args;
  if (args.evalStrategy !== "no" && evalSize % inEval !== 0)
    throw new CraftError({
      subject: "per_device_eval_batch_size",
      value: evalSize,
      reason: `is no multiple of the ${inEval} completions of a prompt`,
      remedy: "Groups must be whole: change it, or num_generations_eval.",
    });
  if (args.lossType === "cispo" && args.epsilonHigh === undefined)
    throw new CraftError({
      subject: "epsilon_high",
      reason: "is not given, and is the greatest ratio of cispo",
      remedy: "Set it, e.g. to 5.",
    });
  if (args.entropyCoefMin > args.entropyCoefMax)
    throw new CraftError({
      subject: "entropy_coef_min",
      value: args.entropyCoefMin,
      reason: `is above entropy_coef_max = ${args.entropyCoefMax}`,
    });
  const set = (name: keyof GRPOArguments): boolean =>
    args[name] !== grpoFields[name].safeParse(undefined).data;
  for (const [names, matters, otherwise] of [
    [
      ["delta"],
      ["grpo", "bnpo", "dr_grpo", "dapo", "luspo"].includes(args.lossType),
      `loss_type is ${args.lossType}`,
    ],
    [["sapoTemperaturePos", "sapoTemperatureNeg"], args.lossType === "sapo", `loss_type is ${args.lossType}`],
    [
      ["vespoKPos", "vespoLambdaPos", "vespoKNeg", "vespoLambdaNeg"],
      args.lossType === "vespo",
      `loss_type is ${args.lossType}`,
    ],
    [
      ["entropyCoefMin", "entropyCoefMax", "entropyCoefDelta", "entropyTarget"],
      args.useAdaptiveEntropy,
      "use_adaptive_entropy is not set",
    ],
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
}
