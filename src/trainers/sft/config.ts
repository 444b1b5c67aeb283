import { z } from "zod";
import { dtypes } from "../../torch/dtype.js";
import { parseOptions, trainingFields } from "../../training/arguments.js";

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
  onBadRow: z
    .enum(["error", "drop"])
    .default("error")
    .describe("What a row with nothing to learn from does."),
  dtype: z
    .enum(["auto", ...dtypes.filter((d) => d.startsWith("float") || d === "bfloat16")])
    .default("auto")
    .describe("Dtype of a model that is given by its folder."),
};

export const sftSchema = z.strictObject(sftFields);
export type SFTOptions = z.input<typeof sftSchema>;
export type SFTArguments = z.output<typeof sftSchema>;

/** The options of {@link SFTTrainer}, checked; see `sftFields` for each. Names may be camelCase or snake_case. */
export class SFTConfig {
  readonly values: SFTArguments;

  constructor(options: SFTOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(sftSchema, { ...options }, "SFTConfig");
  }
}
