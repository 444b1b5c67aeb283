/** @file Rows to the batches of CRAFT: language modelling, pairs, and rows that are their own pair. */
import {
  DataCollatorForLanguageModeling,
  paddingOptionNames,
  type LanguageModelingBatch,
} from "../../data/collator.js";
import { refuseUnknown } from "../../data/options.js";
import {
  paddedLength,
  padRows,
  padTokens,
  type MaskedTokens,
  type PaddedTokens,
  type PaddingOptions,
} from "../../data/padding.js";
import { column, tokenColumn } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import type { CraftStrategy } from "./bundle.js";
import { craftCollatorOptionNames, type CRAFTCollatorOptions } from "./collator_options.js";
import { defaultContrastiveKeys, type ContrastiveKeys } from "./keys.js";
import { readPair } from "./sides.js";
import { textHash } from "./text_hash.js";
import { checkViewOptions, viewMasks } from "./views.js";

/** Hashes of the texts in a batch, for masking out negatives that are the same text. Equal texts have equal hashes. */
export interface PairHashes {
  /** [pairs] */
  readonly anchorHash: Int32Array;
  /** [pairs] */
  readonly positiveHash: Int32Array;
}

/** The hard negatives of a batch's rows, one after the other. */
export interface HardNegatives extends PaddedTokens {
  /** [negatives] */
  readonly hash: Int32Array;
  /** The pair whose row each came with, [negatives]. */
  readonly owner: Int32Array;
}

/** Pairs: row i of one side belongs to row i of the other. */
export interface PairBatch extends PairHashes {
  readonly anchor: PaddedTokens;
  readonly positive: PaddedTokens;
  /** Present where some row has hard negatives. */
  readonly negative?: HardNegatives;
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
  #options: CRAFTCollatorOptions;
  #keys: ContrastiveKeys;
  #padding: PaddingOptions;
  #languageModeling: DataCollatorForLanguageModeling;

  /** @throws {@link CraftError} for unknown options and options out of range. */
  constructor(options: CRAFTCollatorOptions = {}) {
    checkOptions(options);
    this.#options = options;
    this.#keys = { ...defaultContrastiveKeys, ...options.keys };
    this.#padding = paddingOf(options);
    this.#languageModeling = new DataCollatorForLanguageModeling(this.#padding);
  }

  /** Pairs that a batch needs. */
  get minimumPairs(): 1 | 2 {
    return this.#options.minimumPairs ?? 2;
  }

  /** What was given, and what {@link complete} has added. */
  get options(): CRAFTCollatorOptions {
    return this.#options;
  }

  /**
   * Takes over settings that were left open: a trainer tells the collator that it is given what its options say.
   *
   * @throws {@link CraftError} where the collator was made with another value.
   */
  complete(settings: CRAFTCollatorOptions): void {
    checkOptions(settings);
    const own = new Map<string, unknown>(Object.entries(this.#options));
    for (const [name, value] of Object.entries(settings) as [string, unknown][]) {
      if (!own.has(name) || !strict.has(name) || own.get(name) === value) continue;
      throw new CraftError({
        subject: `CRAFTCollator, option ${name}`,
        value: own.get(name),
        reason: `the trainer's options say ${JSON.stringify(value)}`,
        remedy: "Leave it out here, or make both the same",
      });
    }
    this.#options = { ...settings, ...this.#options };
    this.#keys = { ...defaultContrastiveKeys, ...this.#options.keys };
    this.#padding = paddingOf(this.#options);
    this.#languageModeling = new DataCollatorForLanguageModeling(this.#padding);
  }

  /** Rows for language modelling, as {@link DataCollatorForLanguageModeling} gives them. */
  readonly collateSft = (rows: readonly object[], where?: readonly string[]): LanguageModelingBatch =>
    this.#languageModeling.collate(rows, where);

  /**
   * Rows with two sides each, and perhaps hard negatives.
   *
   * @throws {@link CraftError} for missing columns (all named), an empty side, and a batch in which no pair has a
   * negative: one pair alone, or the same positive in each.
   */
  readonly collatePairs = (rows: readonly object[], where: readonly string[] = []): PairBatch => {
    const pairs = rows.map((row, i) =>
      readPair(row, where[i] ?? `batch, row ${i}`, this.#keys, this.#padding),
    );
    const anchors = pairs.map((pair) => pair.anchor);
    const positives = pairs.map((pair) => pair.positive);
    const negatives = pairs.flatMap((pair) => pair.negatives);
    this.#requirePairs(rows.length, negatives.length, where);
    const all = [...anchors, ...positives, ...negatives].map((tokens) => tokens.ids);
    const length = this.#options.padTogether === false ? undefined : paddedLength(all, this.#padding);
    const positiveHash = hashes(positives);
    if (negatives.length === 0) this.#requireNegative(positiveHash, where);
    const owner = Int32Array.from(pairs.flatMap((pair, i) => pair.negatives.map(() => i)));
    return {
      anchor: padTokens(anchors, this.#padding, length),
      positive: padTokens(positives, this.#padding, length),
      anchorHash: hashes(anchors),
      positiveHash,
      ...(negatives.length > 0 && {
        negative: { ...padTokens(negatives, this.#padding, length), hash: hashes(negatives), owner },
      }),
    };
  };

  /**
   * SFT rows with the masks of their two views.
   *
   * @throws {@link CraftError} for a row without a token for one of its views, and a batch without negatives.
   */
  readonly collateSelfAlign = (rows: readonly object[], where: readonly string[] = []): SelfAlignBatch => {
    this.#requirePairs(rows.length, 0, where);
    const names = rows.map((_, i) => where[i] ?? `batch, row ${i}`);
    const batch = this.collateSft(rows, names);
    const masks = rows.map((row, i) => viewMasks(row, names[i]!, this.#options));
    const hashed = (view: (i: number) => Int32Array) =>
      Int32Array.from(rows, (row, i) => textHash(tokenColumn(row, "input_ids", names[i]!), view(i)));
    const { selfAlignViews: views = "prompt_response" } = this.#options;
    const anchorHash = hashed((i) => (views === "prompt_response" ? masks[i]!.prompt : masks[i]!.all));
    const positiveHash = hashed((i) => (views === "dropout" ? masks[i]!.all : masks[i]!.assistant));
    this.#requireNegative(positiveHash, where);
    const padded = (view: "prompt" | "assistant") =>
      padRows(
        masks.map((mask) => mask[view]),
        batch.shape[1],
        0,
        this.#padding.paddingSide,
      );
    return {
      ...batch,
      promptMask: padded("prompt"),
      assistantMask: padded("assistant"),
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
    const paired = first !== undefined && column(first, this.#keys.positiveInputIds) !== undefined;
    return paired ? this.collatePairs(rows, where) : this.collateSft(rows, where);
  };

  /** @throws {@link CraftError} if the row cannot be collated for the strategy; `where` names it. */
  readonly check = (row: object, strategy: CraftStrategy, where: string): void => {
    if (strategy === "paired_dataset") readPair(row, where, this.#keys, this.#padding);
    else viewMasks(row, where, this.#options);
  };

  #requirePairs(pairs: number, negatives: number, where: readonly string[]): void {
    if (pairs >= this.minimumPairs || (pairs > 0 && negatives > 0)) return;
    throw new CraftError({
      subject: batchName(where),
      value: pairs,
      reason: `a batch of ${pairs} pair${pairs === 1 ? "" : "s"} has no negatives, so there is nothing to contrast`,
      remedy: "Use a contrastive batch size of 2 or more",
    });
  }

  #requireNegative(positiveHash: Int32Array, where: readonly string[]): void {
    if (this.minimumPairs === 1 || positiveHash.some((hash) => hash !== positiveHash[0])) return;
    throw new CraftError({
      subject: batchName(where),
      reason: `all ${positiveHash.length} pairs have the same positive side, so none has a negative`,
      remedy: "Use a larger contrastive batch size, or leave out pairs that say the same",
    });
  }
}

/** Settings in which a collator and a trainer must not differ. */
const strict: ReadonlySet<string> = new Set(["assistantMaskStrategy", "assistantMaskKey", "selfAlignViews"]);

function checkOptions(options: CRAFTCollatorOptions): void {
  refuseUnknown("CRAFTCollator", options, [...craftCollatorOptionNames, ...paddingOptionNames]);
  refuseUnknown("CRAFTCollator, option keys", options.keys ?? {}, Object.keys(defaultContrastiveKeys));
  checkViewOptions(options);
}

function paddingOf(options: CRAFTCollatorOptions): PaddingOptions {
  const {
    keys: _keys,
    padTogether: _padTogether,
    assistantMaskStrategy: _assistantMaskStrategy,
    assistantMaskKey: _assistantMaskKey,
    selfAlignViews: _selfAlignViews,
    minimumPairs: _minimumPairs,
    ...padding
  } = options;
  return padding;
}

const hashes = (texts: readonly MaskedTokens[]): Int32Array =>
  Int32Array.from(texts, ({ ids, mask }) => textHash(ids, mask));

const batchName = (where: readonly string[]): string =>
  where.length > 0 ? `contrastive batch of ${where.join("; ")}` : "contrastive batch";
