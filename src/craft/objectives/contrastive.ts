/** @file The contrastive objective of pairs. */
import type { PaddedTokens } from "../../data/padding.js";
import type { CausalLM } from "../../models/index.js";
import { slice, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, TracedFeeds } from "../../training/objective.js";
import { countTokens } from "../../trainers/sft/objective.js";
import type { HardNegatives, PairBatch } from "../data/collator.js";
import type { Chunk, Encoding } from "../grad_cache.js";
import { PooledObjective } from "./pooled.js";
import { contrastFeeds, contrastiveTerm } from "./terms.js";
import { inPass, pooledTexts, someTexts, stackTexts, textFeeds } from "./texts.js";

/**
 * InfoNCE over pairs; weight is the number of pairs that have a negative. The model's head is not run. Hard negatives
 * of a pair are negatives of every anchor in the batch.
 *
 * Without a memory it is for evaluation, and reports the mean reciprocal rank of positives, alignment and uniformity
 * in the place of the consistency.
 */
export class ContrastiveObjective extends PooledObjective<PairBatch> {
  readonly name = "contrastive";

  /** Anchors, positives and negatives are one list of texts, as one group where they were padded to one length. */
  chunks(batch: PairBatch, pairs: number): readonly Chunk[] {
    return groupsOf(batch).flatMap((texts, group) => {
      const [rows] = texts.shape;
      const size = Math.min(2 * pairs, rows);
      return Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
        const chunk = someTexts(texts, i * size, size);
        return { feeds: textFeeds(chunk), group, first: i * size, rows: chunk.shape[0] };
      });
    });
  }

  contrastFeeds(batch: PairBatch): Feeds {
    const { anchorHash, positiveHash, negative } = batch;
    if (negative === undefined) return contrastFeeds(batch, this.memory);
    const { texts, hash } = filled(negative, anchorHash.length);
    const filling = texts.shape[0] - negative.shape[0];
    return contrastFeeds({ anchorHash, positiveHash, negativeHash: hash }, this.memory, filling);
  }

  encode(model: CausalLM, feeds: TracedFeeds, group: number): Encoding {
    return { pooled: [inPass(group, () => pooledTexts(model, this.nce, feeds))] };
  }

  contrast([texts]: readonly Tensor[], feeds: TracedFeeds): LossTerm {
    const n = feeds["anchorHash"]!.shape[0]!;
    const negatives = feeds["negativeHash"] && slice(texts!, 0, 2 * n);
    return contrastiveTerm(
      this.nce,
      { anchor: slice(texts!, 0, 0, n), positive: slice(texts!, 0, n, 2 * n), negatives },
      feeds,
    );
  }

  tokens({ anchor, positive, negative }: PairBatch): number {
    const sides = [anchor, positive, ...(negative === undefined ? [] : [negative])];
    return sides.reduce((total, { attentionMask }) => total + countTokens(attentionMask), 0);
  }
}

/** The texts of a batch in groups of one length. */
function groupsOf({ anchor, positive, negative }: PairBatch): PaddedTokens[] {
  const sides = [anchor, positive];
  if (negative !== undefined) sides.push(filled(negative, anchor.shape[0]).texts);
  return sides.every(({ shape }) => shape[1] === anchor.shape[1]) ? [stackTexts(sides)] : sides;
}

/**
 * Hard negatives with copies of the first one behind them, up to a multiple of a quarter of the pairs: rows may bring
 * different numbers of negatives, and each number needs a program of its own.
 */
function filled(
  negative: HardNegatives,
  pairs: number,
): { readonly texts: PaddedTokens; readonly hash: Int32Array } {
  const [rows] = negative.shape;
  const step = Math.ceil(pairs / 4);
  const copies = Math.ceil(rows / step) * step - rows;
  const first = someTexts(negative, 0, 1);
  const filling = Array.from({ length: copies }, () => first);
  return {
    texts: copies === 0 ? negative : stackTexts([negative, ...filling]),
    hash: Int32Array.from([...negative.hash, ...filling.map(() => negative.hash[0]!)]),
  };
}
