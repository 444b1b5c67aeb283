import { z } from "zod";
import { parseOptions, trainingFields } from "../../training/arguments.js";
import { pairFields } from "../preference/fields.js";

/** The options of training a reward model, with TRL's names. */
export const rewardFields = {
  ...pairFields,
  learningRate: trainingFields.learningRate
    .default(1e-4)
    .describe("Highest learning rate. TRL's default for reward models."),
  maxLength: z.int().min(2).default(1024).describe("Rows with a longer text are bad ones."),
  centerRewardsCoefficient: z
    .number()
    .min(0)
    .optional()
    .describe("Weight of the squared sum of both scores, which keeps scores around 0."),
};

export const rewardSchema = z.strictObject(rewardFields);
export type RewardOptions = z.input<typeof rewardSchema>;
export type RewardArguments = z.output<typeof rewardSchema>;

/** The options of {@link RewardTrainer}, checked; see `rewardFields` for each. Names may be camelCase or snake_case. */
export class RewardConfig {
  readonly values: RewardArguments;

  constructor(options: RewardOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(rewardSchema, { ...options }, "RewardConfig");
  }
}
