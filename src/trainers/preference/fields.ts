/** @file Options of trainers on preferences, with TRL's names. */
import { z } from "zod";
import { trainingFields } from "../../training/arguments.js";
import { modelFields, tokenLossFields } from "../fields.js";

/** Of all of them. */
export const pairFields = {
  ...trainingFields,
  maxLength: z.int().min(2).default(1024).describe("Most tokens of prompt and answer together."),
  padToMultipleOf: z
    .int()
    .min(1)
    .optional()
    .describe("Pad lengths to a multiple; by default to a few buckets."),
  paddingFree: z
    .boolean()
    .default(false)
    .describe("Lay the texts of a micro-batch into one row, in the place of padding."),
  sharePrompts: z
    .union([z.boolean(), z.literal("auto")])
    .default("auto")
    .describe("Compute what both texts of a pair begin with once; auto does so where that is less work."),
  disableDropout: z.boolean().default(true).describe("Train without dropout."),
  neftuneNoiseAlpha: tokenLossFields.neftuneNoiseAlpha,
  onBadRow: z
    .enum(["error", "drop"])
    .default("error")
    .describe("What a row that nothing can be learnt from does."),
  ...modelFields,
};

/** Of those that train the answers' probabilities. */
export const preferenceFields = {
  ...pairFields,
  learningRate: trainingFields.learningRate
    .default(1e-6)
    .describe("Highest learning rate. TRL's default for preferences."),
  truncationMode: z
    .enum(["keep_start", "keep_end"])
    .default("keep_start")
    .describe("What stays of a long row; keep_end cuts the prompt."),
};

/** What trainers on pairs read of their options. */
export type PairArguments = z.output<z.ZodObject<typeof pairFields>>;
