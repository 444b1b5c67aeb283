/** @file The options that CRAFT adds to any trainer. What each is for is told in docs/craft.md. */
import { z } from "zod";
import { camelCaseKeys, optionName } from "../../training/arguments.js";
import { craftStrategies } from "../data/bundle.js";
import { assistantMaskStrategies, selfAlignViews } from "../data/collator_options.js";
import { defaultContrastiveKeys, type ContrastiveKeys } from "../data/keys.js";
import { betaModes, lengthStrategies } from "../data/schedule.js";
import { poolings, temperatureRange } from "../losses/index.js";

/** Where the negatives of an anchor come from. */
export const negativeStrategies = ["in_batch", "queue", "none"] as const;

/** How the gradients of the two tasks are balanced beyond alpha. */
export const gradientBalancings = ["none", "loss_scale", "uncertainty", "gradnorm", "pcgrad"] as const;

/** What log entries say beside the losses. */
export const reportMetrics = [
  "contrastive_accuracy",
  "representation_consistency",
  "temperature",
  "gradient_norm",
] as const;

const keyNames = Object.keys(defaultContrastiveKeys);

/** Names of columns, by keys in either spelling. */
const contrastiveKeys = z
  .record(z.string(), z.string().min(1))
  .default({})
  .transform((given, context): Partial<ContrastiveKeys> => {
    const keys = camelCaseKeys(given) as Partial<ContrastiveKeys>;
    for (const key of Object.keys(keys)) {
      if (keyNames.includes(key)) continue;
      const known = keyNames.map(optionName).join(", ");
      context.addIssue({
        code: "custom",
        message: `there is no key ${optionName(key)}; the keys are ${known}`,
      });
    }
    return keys;
  });

/** How the two objectives are mixed. */
const mixing = {
  craftAlpha: z
    .number()
    .min(0)
    .max(1)
    .default(0.6)
    .describe("Share of the base objective's gradient in each step; the rest is the contrastive one's."),
  craftBeta: z
    .number()
    .min(0)
    .max(1)
    .default(0.6)
    .describe("Share of a window's micro-batches that are the base objective's."),
  craftBetaMode: z
    .enum(betaModes)
    .default("fixed")
    .describe("`auto` takes beta from the numbers of batches, in the place of craftBeta."),
  craftLengthStrategy: z
    .enum(lengthStrategies)
    .default("oversample")
    .describe(
      "What happens where one dataset is shorter; `auto_beta` takes beta from the numbers of batches.",
    ),
  craftGradientBalancing: z
    .enum(gradientBalancings)
    .default("none")
    .describe("How the tasks' gradients are balanced, once for each window."),
  craftGradnormAlpha: z
    .number()
    .min(0)
    .default(1.5)
    .describe("How strongly gradnorm pulls the task that learns more slowly."),
  craftLossScaleMomentum: z
    .number()
    .min(0)
    .lt(1)
    .default(0.99)
    .describe("Share of the old mean that stays in loss_scale's running mean of each loss."),
  craftGradientClipPerTask: z
    .boolean()
    .default(false)
    .describe("Scale each task's gradient down to craftGradientClipValue before they are mixed."),
  craftGradientClipValue: z.number().positive().default(1).describe("Longest gradient of a task."),
};

/** The contrastive loss. */
const contrast = {
  craftTemperature: z
    .number()
    .min(temperatureRange.min)
    .max(temperatureRange.max)
    .default(0.05)
    .describe("Divides the cosines; the initial value where it is learnt."),
  craftLearnableTemperature: z.boolean().default(false).describe("Train the temperature."),
  craftProjectionDim: z
    .int()
    .min(1)
    .nullable()
    .default(256)
    .describe("Size in which texts are compared; null compares hidden states themselves."),
  craftProjectionDropout: z.number().min(0).lt(1).default(0).describe("Dropout inside the projection head."),
  craftPooling: z
    .enum(poolings)
    .default("last_token")
    .describe("How the vector of a text is taken from its hidden states."),
  craftSymmetric: z.boolean().default(false).describe("Also ask positives for their anchors."),
  craftNegativeStrategy: z
    .enum(negativeStrategies)
    .default("in_batch")
    .describe("`queue` adds the positives of earlier steps to those of the batch."),
  craftNegativeQueueSize: z.int().min(2).default(65536).describe("Positives that the queue holds."),
  craftUseGradcache: z
    .boolean()
    .default(false)
    .describe("Run the model over a contrastive batch in chunks, with the gradient of the whole batch."),
  craftGradcacheChunkSize: z.int().min(1).default(4).describe("Pairs in a chunk."),
  craftUseHiddenStateHook: z
    .boolean()
    .default(true)
    .describe("Read the last hidden states without keeping those of all layers; there is no other way here."),
};

/** Where pairs come from and how they are read. */
const data = {
  craftStrategy: z
    .enum(craftStrategies)
    .optional()
    .describe("paired_dataset where pairs are given, else self_align."),
  craftContrastiveBatchSize: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe("Pairs in a contrastive micro-batch; null takes as many as rows in the others."),
  craftContrastiveKeys: contrastiveKeys.describe("Other names of the columns of tokens."),
  craftSelfAlignViews: z
    .enum(selfAlignViews)
    .default("prompt_response")
    .describe("Which parts of a row self-align contrasts."),
  craftAssistantMaskStrategy: z
    .enum(assistantMaskStrategies)
    .default("auto")
    .describe("Where the assistant's tokens are known from."),
  craftAssistantMaskKey: z
    .string()
    .min(1)
    .default("assistant_masks")
    .describe("Column of the assistant's mask, read as assistant_masks is."),
};

const reports = {
  craftReportMetrics: z
    .array(z.enum(reportMetrics))
    .default([...reportMetrics])
    .describe("What log entries say beside the losses."),
  craftDebug: z
    .boolean()
    .default(false)
    .describe("Say at the start where each option comes from, and log memory and native tensors."),
};

/** The options that CRAFT adds to any trainer. */
export const craftFields = { ...mixing, ...contrast, ...data, ...reports };

export type CraftArguments = z.output<z.ZodObject<typeof craftFields>>;
