/** @file What {@link CRAFTCollator} can be told. */
import type { PaddingOptions } from "../../data/padding.js";
import type { ContrastiveKeys } from "./keys.js";

export const assistantMaskStrategies = ["auto", "provided", "none"] as const;
export const selfAlignViews = ["prompt_response", "dropout", "full_response"] as const;

/**
 * Which positions of a row the assistant said.
 * - "auto": the mask column where the row has it, else the positions that carry a label;
 * - "provided": the mask column, which every row must have;
 * - "none": every position.
 */
export type AssistantMaskStrategy = (typeof assistantMaskStrategies)[number];

/**
 * What makes the pair of a self-aligned row.
 * - "prompt_response": the prompt against what the assistant said;
 * - "dropout": the row against itself under other dropout;
 * - "full_response": the whole row against what the assistant said.
 */
export type SelfAlignViews = (typeof selfAlignViews)[number];

export interface CRAFTCollatorOptions extends PaddingOptions {
  /** Other names for the columns of a pair. */
  readonly keys?: Partial<ContrastiveKeys>;
  /** Pad both sides to one length, so that one forward takes them stacked. Default true. */
  readonly padTogether?: boolean;
  /** Default "auto". */
  readonly assistantMaskStrategy?: AssistantMaskStrategy;
  /** Default "assistant_masks". */
  readonly assistantMaskKey?: string;
  /** Default "prompt_response". */
  readonly selfAlignViews?: SelfAlignViews;
  /** Pairs that a batch needs: 2 by default, or 1 where every pair brings a negative of its own. */
  readonly minimumPairs?: 1 | 2;
}

/** The options beside those of padding. */
export const craftCollatorOptionNames = [
  "keys",
  "padTogether",
  "assistantMaskStrategy",
  "assistantMaskKey",
  "selfAlignViews",
  "minimumPairs",
] as const satisfies readonly (keyof CRAFTCollatorOptions)[];
