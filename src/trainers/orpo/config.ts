import { z } from "zod";
import { parseOptions } from "../../training/arguments.js";
import { preferenceFields } from "../preference/fields.js";

/** The options of odds ratio preference optimisation, with TRL's names. */
export const orpoFields = {
  ...preferenceFields,
  beta: z.number().positive().default(0.1).describe("What the odds ratio counts beside the token loss."),
};

export const orpoSchema = z.strictObject(orpoFields);
export type ORPOOptions = z.input<typeof orpoSchema>;
export type ORPOArguments = z.output<typeof orpoSchema>;

/** The options of {@link ORPOTrainer}, checked; see `orpoFields` for each. Names may be camelCase or snake_case. */
export class ORPOConfig {
  readonly values: ORPOArguments;

  constructor(options: ORPOOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(orpoSchema, { ...options }, "ORPOConfig");
  }
}
