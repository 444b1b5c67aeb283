import { z } from "zod";
import { CraftError } from "../errors.js";
import { sftFields } from "../trainers/sft/config.js";
import { parseOptions } from "../training/arguments.js";
import { betaModes, lengthStrategies } from "./data/schedule.js";
import { craftStrategies } from "./data/bundle.js";
import { assistantMaskStrategies } from "./data/collator.js";
import { poolings, temperatureRange } from "./losses/index.js";

/** Views of one row that self-align can contrast. */
export const selfAlignViews = ["prompt_response", "full_response"] as const;

/** The options that CRAFT adds to any trainer. */
export const craftFields = {
  craftAlpha: z
    .number()
    .min(0)
    .max(1)
    .default(0.6)
    .describe("Share of the base objective's gradient; the rest is the contrastive one's."),
  craftBeta: z
    .number()
    .min(0)
    .max(1)
    .default(0.6)
    .describe("Share of a window's micro-batches that are the base objective's."),
  craftBetaMode: z
    .enum(betaModes)
    .default("fixed")
    .describe("`auto` takes beta from the numbers of batches."),
  craftLengthStrategy: z
    .enum(lengthStrategies)
    .default("oversample")
    .describe("What happens where one dataset is shorter."),
  craftStrategy: z
    .enum(craftStrategies)
    .optional()
    .describe("paired_dataset where pairs are given, else self_align."),
  craftContrastiveBatchSize: z
    .int()
    .min(1)
    .optional()
    .describe("Pairs in a contrastive micro-batch; by default as many as rows in the others."),
  craftTemperature: z
    .number()
    .min(temperatureRange.min)
    .max(temperatureRange.max)
    .default(0.05)
    .describe("Divides the cosines."),
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

const craftSFTSchema = z.strictObject({ ...sftFields, ...craftFields });
export type CraftArguments = z.output<z.ZodObject<typeof craftFields>>;
export type CRAFTSFTOptions = z.input<typeof craftSFTSchema>;
export type CRAFTSFTArguments = z.output<typeof craftSFTSchema>;

/** The options of {@link CRAFTSFTTrainer}: those of SFTConfig and those of CRAFT. Names may be camelCase or snake_case. */
export class CRAFTSFTConfig {
  readonly values: CRAFTSFTArguments;

  constructor(options: CRAFTSFTOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(craftSFTSchema, { ...options }, "CRAFTSFTConfig");
    refuseIdenticalViews(this.values);
  }
}

function refuseIdenticalViews({ craftSelfAlignViews: views, craftPooling: pooling }: CraftArguments): void {
  if (views !== "full_response" || pooling !== "last_token") return;
  throw new CraftError({
    subject: "craft_pooling",
    value: pooling,
    reason:
      "with craft_self_align_views full_response both views end at the same token and would be identical",
    remedy: "Use craft_pooling mean, or craft_self_align_views prompt_response.",
  });
}
