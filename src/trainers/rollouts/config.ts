/** @file Options of trainers whose data is what the policy says. */
import { z } from "zod";

const count = z.int().min(1);

export const rolloutFields = {
  maxPromptLength: count
    .optional()
    .describe("Longer prompts are cut to their last tokens; by default prompts are as long as they are."),
  maxCompletionLength: count.default(512).describe("Most tokens of a completion."),
  shuffleDataset: z.boolean().default(true).describe("Prompts in a new order each epoch."),
  temperature: z
    .number()
    .gt(0)
    .default(1)
    .describe("Completions are drawn from softmax(logits / temperature)."),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe("Draw from the fewest tokens whose chances sum up to this."),
  topK: z.int().min(0).default(0).describe("Draw from the k likeliest tokens; 0 is all."),
  minP: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe("Least chance of a token, as a share of the likeliest's."),
  repetitionPenalty: z
    .number()
    .gt(0)
    .default(1)
    .describe("Above 1, tokens that are there become less likely."),
  chatTemplateKwargs: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("Variables of the chat template."),
  padToMultipleOf: count.optional().describe("Pad lengths to a multiple; by default to a few buckets."),
  rolloutBatchSize: count
    .optional()
    .describe("Completions that are made side by side; by default all of a rollout."),
  rewardWeights: z.array(z.number()).optional().describe("One for each reward; 1 by default."),
  rewardTimeLimit: z
    .number()
    .positive()
    .default(300)
    .describe("Seconds that a reward function has for a batch, before it counts as failed."),
  logCompletions: z
    .boolean()
    .default(false)
    .describe(
      "Write prompts, completions and rewards into completions/ of the output folder, and show some.",
    ),
  numCompletionsToPrint: z.int().min(0).optional().describe("How many are shown; all by default."),
  logUniquePrompts: z
    .boolean()
    .default(false)
    .describe("One completion of each prompt only, where they are logged."),
};
