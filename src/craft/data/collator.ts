/** @file Rows to the batches of CRAFT: language modelling, pairs, and rows that are their own pair. */
import {
  DataCollatorForLanguageModeling,
  paddingOptionNames,
  type LanguageModelingBatch,
} from "../../data/collator.js";
import { refuseUnknown, requireOneOf } from "../../data/options.js";
import {
  maskedTokens,
  paddedLength,
  padRows,
  padTokens,
  type MaskedTokens,
  type PaddedTokens,
  type PaddingOptions,
} from "../../data/padding.js";
import { column, ignoredLabel, integerColumn, missingColumn, tokenColumn } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import type { CraftStrategy } from "./bundle.js";
import { textHash } from "./text_hash.js";

/** The columns that hold each side of a pair. */
export interface ContrastiveKeys {
  readonly anchorInputIds: string;
  readonly anchorAttentionMask: string;
  readonly positiveInputIds: string;
  readonly positiveAttentionMask: string;
}

export const defaultContrastiveKeys: ContrastiveKeys = {
  anchorInputIds: "input_ids",
  anchorAttentionMask: "attention_mask",
  positiveInputIds: "input_ids_tgt",
  positiveAttentionMask: "attention_mask_tgt",
};

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
  /** Pairs that a batch needs: 2 by default, or 1 where negatives come from elsewhere (a queue, extra columns). */
  readonly minimumPairs?: 1 | 2;
}

/** Hashes of the texts in a batch, for masking out negatives that are the same text. Equal texts have equal hashes. */
export interface PairHashes {
  /** [pairs] */
  readonly anchorHash: Int32Array;
  /** [pairs] */
  readonly positiveHash: Int32Array;
}

/** Pairs: row i of one side belongs to row i of the other. */
export interface PairBatch extends PairHashes {
  readonly anchor: PaddedTokens;
  readonly positive: PaddedTokens;
}

/** Rows for language modelling that are their own pairs. All arrays are [rows, length]. */
export interface SelfAlignBatch extends LanguageModelingBatch, PairHashes {
  /** 1 at the tokens before the first that the assistant said. */
  readonly promptMask: Int32Array;
  /** 1 at the tokens that the assistant said. */
  readonly assistantMask: Int32Array;
}

/**
 * Pads rows for CRAFT. Masks that a row lacks count every token.
 *
 * @example
 * const collator = new CRAFTCollator({ padTokenId: tokenizer.padTokenId });
 * collator.collatePairs([{ input_ids: [1, 5], input_ids_tgt: [1, 8, 2] }, { input_ids: [1, 6], input_ids_tgt: [1, 9] }]);
 */
export class CRAFTCollator {
  readonly minimumPairs: 1 | 2;
  private readonly options: CRAFTCollatorOptions;
  private readonly keys: ContrastiveKeys;
  private readonly padding: PaddingOptions;
  private readonly languageModeling: DataCollatorForLanguageModeling;

  constructor(options: CRAFTCollatorOptions = {}) {
    const {
      keys = {},
      padTogether: _padTogether,
      assistantMaskStrategy = "auto",
      assistantMaskKey: _assistantMaskKey,
      selfAlignViews: views = "prompt_response",
      minimumPairs = 2,
      ...padding
    } = options;
    const own = [
      "keys",
      "padTogether",
      "assistantMaskStrategy",
      "assistantMaskKey",
      "selfAlignViews",
      "minimumPairs",
    ];
    refuseUnknown("CRAFTCollator", padding, [...own, ...paddingOptionNames]);
    refuseUnknown("CRAFTCollator, option keys", keys, Object.keys(defaultContrastiveKeys));
    requireOneOf("assistantMaskStrategy", assistantMaskStrategy, assistantMaskStrategies);
    requireOneOf("selfAlignViews", views, selfAlignViews);
    this.options = options;
    this.minimumPairs = minimumPairs;
    this.keys = { ...defaultContrastiveKeys, ...keys };
    this.padding = padding;
    this.languageModeling = new DataCollatorForLanguageModeling(padding);
  }

  /** Rows for language modelling, as {@link DataCollatorForLanguageModeling} gives them. */
  readonly collateSft = (rows: readonly object[], where?: readonly string[]): LanguageModelingBatch =>
    this.languageModeling.collate(rows, where);

  /**
   * Rows with two sides each.
   *
   * @throws {@link CraftError} for missing columns (all named), an empty side, and a batch in which no pair has a
   * negative: one pair alone, or the same positive in each.
   */
  readonly collatePairs = (rows: readonly object[], where: readonly string[] = []): PairBatch => {
    this.requirePairs(rows.length, where);
    const pairs = rows.map((row, i) => this.pair(row, where[i] ?? `batch, row ${i}`));
    const anchors = pairs.map((pair) => pair.anchor);
    const positives = pairs.map((pair) => pair.positive);
    const all = [...anchors, ...positives].map((tokens) => tokens.ids);
    const length = this.options.padTogether === false ? undefined : paddedLength(all, this.padding);
    const anchorHash = Int32Array.from(anchors, ({ ids, mask }) => textHash(ids, mask));
    const positiveHash = Int32Array.from(positives, ({ ids, mask }) => textHash(ids, mask));
    this.requireNegative(positiveHash, where);
    return {
      anchor: padTokens(anchors, this.padding, length),
      positive: padTokens(positives, this.padding, length),
      anchorHash,
      positiveHash,
    };
  };

  /**
   * SFT rows with the masks of their two views.
   *
   * @throws {@link CraftError} for a row without a token for one of its views, and a batch without negatives.
   */
  readonly collateSelfAlign = (rows: readonly object[], where: readonly string[] = []): SelfAlignBatch => {
    this.requirePairs(rows.length, where);
    const names = rows.map((_, i) => where[i] ?? `batch, row ${i}`);
    const batch = this.collateSft(rows, names);
    const masks = rows.map((row, i) => this.viewMasks(row, names[i]!));
    const hashes = (view: (i: number) => Int32Array) =>
      Int32Array.from(rows, (row, i) => textHash(tokenColumn(row, "input_ids", names[i]!), view(i)));
    const anchorHash = hashes((i) => (this.views === "prompt_response" ? masks[i]!.prompt : masks[i]!.all));
    const positiveHash = hashes((i) => (this.views === "dropout" ? masks[i]!.all : masks[i]!.assistant));
    this.requireNegative(positiveHash, where);
    const side = this.padding.paddingSide;
    return {
      ...batch,
      promptMask: padRows(
        masks.map((mask) => mask.prompt),
        batch.shape[1],
        0,
        side,
      ),
      assistantMask: padRows(
        masks.map((mask) => mask.assistant),
        batch.shape[1],
        0,
        side,
      ),
      anchorHash,
      positiveHash,
    };
  };

  /** Pairs if the first row has the positive side's column, else rows for language modelling. */
  readonly collate = (
    rows: readonly object[],
    where?: readonly string[],
  ): PairBatch | LanguageModelingBatch => {
    const first = rows[0];
    const paired = first !== undefined && column(first, this.keys.positiveInputIds) !== undefined;
    return paired ? this.collatePairs(rows, where) : this.collateSft(rows, where);
  };

  /** @throws {@link CraftError} if the row cannot be collated for the strategy; `where` names it. */
  readonly check = (row: object, strategy: CraftStrategy, where: string): void => {
    if (strategy === "paired_dataset") this.pair(row, where);
    else this.viewMasks(row, where);
  };

  private pair(row: object, where: string): Record<"anchor" | "positive", MaskedTokens> {
    const { anchorInputIds, anchorAttentionMask, positiveInputIds, positiveAttentionMask } = this.keys;
    const missing = [anchorInputIds, positiveInputIds].filter((key) => column(row, key) === undefined);
    if (missing.length > 0) {
      throw missingColumn(row, missing, where, "Tokenise both sides, or set the keys option");
    }
    const side = (ids: string, mask: string) =>
      maskedTokens(row, { ids, mask }, where, this.padding.maxLength);
    return {
      anchor: side(anchorInputIds, anchorAttentionMask),
      positive: side(positiveInputIds, positiveAttentionMask),
    };
  }

  private get views(): SelfAlignViews {
    return this.options.selfAlignViews ?? "prompt_response";
  }

  private viewMasks(row: object, where: string): Record<"all" | "prompt" | "assistant", Int32Array> {
    const length = tokenColumn(row, "input_ids", where).length;
    const attended = integerColumn(row, "attention_mask", where, { length });
    const all = Int32Array.from({ length }, (_, t) => (attended?.[t] === 0 ? 0 : 1));
    const said = this.assistantMask(row, length, where);
    const assistant = all.map((attends, t) => (attends === 1 && said(t) ? 1 : 0));
    const first = assistant.indexOf(1);
    const prompt = all.map((attends, t) => (t < first ? attends : 0));
    const views = this.views;
    if (views !== "dropout" && first === -1) {
      throw new CraftError({
        subject: where,
        reason: "no token is the assistant's, so the row has no positive side",
      });
    }
    if (views === "prompt_response" && !prompt.includes(1)) {
      throw new CraftError({
        subject: where,
        reason: "no token comes before the assistant's, so the row has no prompt to be the anchor",
        remedy: 'Give rows a prompt and labels for the completion only, or choose the views "dropout"',
      });
    }
    return { all, prompt, assistant };
  }

  private assistantMask(row: object, length: number, where: string): (position: number) => boolean {
    const { assistantMaskStrategy: strategy = "auto", assistantMaskKey: key = "assistant_masks" } =
      this.options;
    if (strategy === "none") return () => true;
    const mask = integerColumn(row, key, where, { length });
    if (mask !== undefined) return (position) => mask[position] === 1;
    if (strategy === "provided")
      throw missingColumn(row, [key], where, 'assistantMaskStrategy is "provided"');
    const labels = integerColumn(row, "labels", where, { least: ignoredLabel, length });
    return (position) => labels === undefined || labels[position] !== ignoredLabel;
  }

  private requirePairs(pairs: number, where: readonly string[]): void {
    if (pairs >= this.minimumPairs) return;
    throw new CraftError({
      subject: where.length > 0 ? `contrastive batch of ${where.join("; ")}` : "contrastive batch",
      value: pairs,
      reason: `a batch of ${pairs} pair${pairs === 1 ? "" : "s"} has no negatives, so there is nothing to contrast`,
      remedy: "Use a contrastive batch size of 2 or more",
    });
  }

  private requireNegative(positiveHash: Int32Array, where: readonly string[]): void {
    if (this.minimumPairs === 1 || positiveHash.some((hash) => hash !== positiveHash[0])) return;
    throw new CraftError({
      subject: where.length > 0 ? `contrastive batch of ${where.join("; ")}` : "contrastive batch",
      reason: `all ${positiveHash.length} pairs have the same positive side, so none has a negative`,
      remedy: "Use a larger contrastive batch size, or leave out pairs that say the same",
    });
  }
}
