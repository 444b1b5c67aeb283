import { z } from "zod";
import { packingStrategies } from "../../data/packing.js";
import { parseOptions, trainingFields } from "../../training/arguments.js";
import { modelFields, tokenLossFields } from "../fields.js";
import { checkPacking } from "./packing.js";

/** The options of supervised fine-tuning, with TRL's names. */
export const sftFields = {
  ...trainingFields,
  learningRate: trainingFields.learningRate
    .default(2e-5)
    .describe("Highest learning rate. TRL's default for SFT."),
  maxLength: z.int().min(2).default(1024).describe("Longer rows are cut to this many tokens."),
  truncationMode: z
    .enum(["keep_start", "keep_end"])
    .default("keep_start")
    .describe("Which end of a long row stays."),
  datasetTextField: z.string().min(1).default("text").describe("Column of plain text."),
  completionOnlyLoss: z
    .boolean()
    .optional()
    .describe("Train on completions only; by default where rows have a prompt."),
  assistantOnlyLoss: z.boolean().default(false).describe("Train on the assistant's turns only."),
  padToMultipleOf: z
    .int()
    .min(1)
    .optional()
    .describe("Pad lengths to a multiple; by default to a few buckets."),
  packing: z.boolean().default(false).describe("Put several rows into one of up to maxLength tokens."),
  packingStrategy: z
    .enum(packingStrategies)
    .default("bfd")
    .describe("Which rows share one: best fit, best fit with long rows split, or one after the other."),
  evalPacking: z.boolean().optional().describe("Pack evaluation rows; by default as those for training."),
  paddingFree: z
    .boolean()
    .default(false)
    .describe("Lay the rows of a micro-batch into one, in the place of padding."),
  ...tokenLossFields,
  onBadRow: z
    .enum(["error", "drop"])
    .default("error")
    .describe("What a row with nothing to learn from does."),
  ...modelFields,
};

export const sftSchema = z.strictObject(sftFields);
export type SFTOptions = z.input<typeof sftSchema>;
export type SFTArguments = z.output<typeof sftSchema>;

/** The options of {@link SFTTrainer}, checked; see `sftFields` for each. Names may be camelCase or snake_case. */
export class SFTConfig {
  readonly values: SFTArguments;

  constructor(options: SFTOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(sftSchema, { ...options }, "SFTConfig");
    checkPacking(this.values);
  }
}
