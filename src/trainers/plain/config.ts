import { z } from "zod";
import { parseOptions, trainingFields } from "../../training/arguments.js";
import { modelFields, tokenLossFields } from "../fields.js";

/** The options of a plain run, with the names and defaults of transformers' TrainingArguments. */
export const plainFields = { ...trainingFields, ...tokenLossFields, ...modelFields };

const plainSchema = z.strictObject(plainFields);
export type TrainingOptions = z.input<typeof plainSchema>;
export type TrainingValues = z.output<typeof plainSchema>;

/** The options of {@link Trainer}, checked; see `plainFields` for each. Names may be camelCase or snake_case. */
export class TrainingArguments {
  readonly values: TrainingValues;

  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: TrainingOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(plainSchema, { ...options }, "TrainingArguments");
  }
}
