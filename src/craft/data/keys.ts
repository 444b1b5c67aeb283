/** @file The columns of tokens that CRAFT reads. */

/** Names of columns. Those of SFT rows that are their own pairs are the anchor's. */
export interface ContrastiveKeys {
  readonly anchorInputIds: string;
  readonly anchorAttentionMask: string;
  /** Of SFT rows only: the token loss's labels, by which the assistant's tokens may be known. */
  readonly anchorLabels: string;
  readonly positiveInputIds: string;
  readonly positiveAttentionMask: string;
  /** Hard negatives: a list of token ids, or a list of such lists. */
  readonly negativeInputIds: string;
  readonly negativeAttentionMask: string;
}

export const defaultContrastiveKeys: ContrastiveKeys = {
  anchorInputIds: "input_ids",
  anchorAttentionMask: "attention_mask",
  anchorLabels: "labels",
  positiveInputIds: "input_ids_tgt",
  positiveAttentionMask: "attention_mask_tgt",
  negativeInputIds: "input_ids_neg",
  negativeAttentionMask: "attention_mask_neg",
};

/** The columns of a row that hold each side. */
export interface SideKeys {
  readonly ids: string;
  readonly mask: string;
}

export const sidesOf = (
  keys: ContrastiveKeys,
): Readonly<Record<"anchor" | "positive" | "negative", SideKeys>> => ({
  anchor: { ids: keys.anchorInputIds, mask: keys.anchorAttentionMask },
  positive: { ids: keys.positiveInputIds, mask: keys.positiveAttentionMask },
  negative: { ids: keys.negativeInputIds, mask: keys.negativeAttentionMask },
});
