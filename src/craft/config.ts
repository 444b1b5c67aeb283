/** @file The configurations of the CRAFT trainers: the options of each base trainer with those of CRAFT. */
import { z } from "zod";
import { checkDPO, dpoFields } from "../trainers/dpo/config.js";
import { orpoFields } from "../trainers/orpo/config.js";
import { plainFields } from "../trainers/plain/config.js";
import { sftFields } from "../trainers/sft/config.js";
import { checkPacking } from "../trainers/sft/packing.js";
import type { CommonArguments } from "../training/index.js";
import { CraftConfig, type OptionRecord } from "./config/craft_config.js";
import type { Origins } from "./config/explain.js";
import { craftFields, type CraftArguments } from "./config/fields.js";

export { type CraftFacts } from "./config/auto.js";
export { CraftConfig, type OptionRecord } from "./config/craft_config.js";
export { Explanation, type ExplainedOption, type Origin, type Origins } from "./config/explain.js";
export {
  craftFields,
  gradientBalancings,
  negativeStrategies,
  reportMetrics,
  type CraftArguments,
} from "./config/fields.js";
export { craftPresets, getPreset, type CraftOptions, type CraftPreset } from "./config/presets.js";

const craftSFTSchema = z.strictObject({ ...sftFields, ...craftFields });
export type CRAFTSFTOptions = z.input<typeof craftSFTSchema>;
export type CRAFTSFTArguments = z.output<typeof craftSFTSchema>;

/** The options of {@link CRAFTSFTTrainer}: those of SFTConfig and those of CRAFT. Names may be camelCase or snake_case. */
export class CRAFTSFTConfig extends CraftConfig<CRAFTSFTArguments> {
  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: CRAFTSFTOptions | OptionRecord = {}, origins: Origins = {}) {
    super(craftSFTSchema, "CRAFTSFTConfig", { ...options }, origins);
    checkPacking(this.values);
  }
}

const craftDPOSchema = z.strictObject({ ...dpoFields, ...craftFields });
export type CRAFTDPOOptions = z.input<typeof craftDPOSchema>;
export type CRAFTDPOArguments = z.output<typeof craftDPOSchema>;

/** The options of {@link CRAFTDPOTrainer}: those of DPOConfig and those of CRAFT. Names may be camelCase or snake_case. */
export class CRAFTDPOConfig extends CraftConfig<CRAFTDPOArguments> {
  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: CRAFTDPOOptions | OptionRecord = {}, origins: Origins = {}) {
    super(craftDPOSchema, "CRAFTDPOConfig", { ...options }, origins);
    checkDPO(this.values);
  }
}

const craftORPOSchema = z.strictObject({ ...orpoFields, ...craftFields });
export type CRAFTORPOOptions = z.input<typeof craftORPOSchema>;
export type CRAFTORPOArguments = z.output<typeof craftORPOSchema>;

/** The options of {@link CRAFTORPOTrainer}: those of ORPOConfig and those of CRAFT. Names may be camelCase or snake_case. */
export class CRAFTORPOConfig extends CraftConfig<CRAFTORPOArguments> {
  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: CRAFTORPOOptions | OptionRecord = {}, origins: Origins = {}) {
    super(craftORPOSchema, "CRAFTORPOConfig", { ...options }, origins);
  }
}

const craftPlainSchema = z.strictObject({ ...plainFields, ...craftFields });
export type CRAFTTrainingOptions = z.input<typeof craftPlainSchema>;
export type CRAFTTrainingValues = z.output<typeof craftPlainSchema>;

/** The options of {@link withCraft} over the plain trainer: those of TrainingArguments and those of CRAFT. */
export class CRAFTTrainingArguments extends CraftConfig<CRAFTTrainingValues> {
  /** @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others. */
  constructor(options: CRAFTTrainingOptions | OptionRecord = {}, origins: Origins = {}) {
    super(craftPlainSchema, "CRAFTTrainingArguments", { ...options }, origins);
  }
}

/** What CRAFT reads of a trainer's options; those that may be absent are of trainers that prepare texts. */
export interface CraftedArguments extends CommonArguments, CraftArguments {
  /** Sides of pairs are cut to as many tokens. */
  readonly maxLength?: number | undefined;
  readonly padToMultipleOf?: number | undefined;
  readonly onBadRow?: "error" | "drop" | undefined;
  readonly packing?: boolean | undefined;
  readonly paddingFree?: boolean | undefined;
}
