/** @file The objective of rows that are their own pairs. */
import { labelPositions } from "../../data/label_positions.js";
import type { CausalLM } from "../../models/index.js";
import { drawsRandomNumbers, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, TracedFeeds } from "../../training/objective.js";
import { countTokens, labelFeeds, tokenFeeds, tokenTerm } from "../../trainers/sft/objective.js";
import type { SelfAlignBatch } from "../data/collator.js";
import type { SelfAlignViews } from "../data/collator_options.js";
import type { Chunk, Encoding } from "../grad_cache.js";
import { PooledObjective, type PooledObjectiveOptions } from "./pooled.js";
import { contrastedPairs, contrastFeeds, contrastiveTerm } from "./terms.js";
import { inPass, maskFeed, pooledTexts, rowsOf, someTexts } from "./texts.js";

export interface SelfAlignObjectiveOptions extends PooledObjectiveOptions {
  readonly views: SelfAlignViews;
  /** Share of each label that is spread over the vocabulary, in [0, 1). Default 0. */
  readonly labelSmoothing?: number;
}

/**
 * Token loss and InfoNCE of one forward pass: a row's prompt, or all of it, is the anchor and what the assistant says
 * its positive. With `dropout` views the row passes twice, under different dropout (Gao et al. 2021, SimCSE); the first
 * pass gives the token loss too. Where only the projection head has dropout, one pass gives both.
 */
export class SelfAlignObjective extends PooledObjective<SelfAlignBatch> {
  readonly name = "self_align";
  readonly #views: SelfAlignViews;
  readonly #smoothing: number;

  constructor({ views, labelSmoothing = 0, ...options }: SelfAlignObjectiveOptions) {
    super(options);
    this.#views = views;
    this.#smoothing = labelSmoothing;
  }

  chunks(batch: SelfAlignBatch, pairs: number): readonly Chunk[] {
    const [rows] = batch.shape;
    const size = Math.min(pairs, rows);
    return Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
      const chunk = someRows(batch, i * size, size);
      return { feeds: this.#rowFeeds(chunk), group: 0, first: i * size, rows: chunk.shape[0] };
    });
  }

  #rowFeeds(batch: SelfAlignBatch): Feeds {
    const { promptMask, assistantMask, attentionMask, shape } = batch;
    return {
      ...tokenFeeds(batch),
      ...labelFeeds(batch),
      anchorMask: maskFeed(this.#views === "prompt_response" ? promptMask : attentionMask, shape),
      positiveMask: maskFeed(this.#views === "dropout" ? attentionMask : assistantMask, shape),
    };
  }

  contrastFeeds(batch: SelfAlignBatch): Feeds {
    const { anchorHash, positiveHash } = batch;
    return contrastFeeds({ anchorHash, positiveHash }, this.memory);
  }

  encode(model: CausalLM, feeds: TracedFeeds): Encoding {
    const { inputIds, attentionMask, anchorMask, positiveMask } = feeds;
    const hidden = inPass(0, () => model.hiddenStates(inputIds!, { attentionMask }));
    const again = (): Tensor =>
      inPass(1, () => pooledTexts(model, this.nce, { ...feeds, mask: positiveMask! }));
    return {
      pooled: [
        this.nce.pool(hidden, anchorMask!),
        this.#views === "dropout" && drawsRandomNumbers(again)
          ? again()
          : this.nce.pool(hidden, positiveMask!),
      ],
      terms: { sft: tokenTerm(model, hidden, feeds, this.#smoothing) },
    };
  }

  contrast([anchor, positive]: readonly Tensor[], feeds: TracedFeeds): LossTerm {
    return contrastiveTerm(this.nce, { anchor: anchor!, positive: positive! }, feeds);
  }

  weights(batch: SelfAlignBatch): { readonly sft: number; readonly contrastive: number } {
    return {
      sft: labelPositions(batch).count,
      contrastive: contrastedPairs(this.nce, batch, this.memory),
    };
  }

  tokens(batch: SelfAlignBatch): number {
    return countTokens(batch.attentionMask);
  }
}

function someRows(batch: SelfAlignBatch, first: number, count: number): SelfAlignBatch {
  const texts = someTexts(batch, first, count);
  const [rows, length] = texts.shape;
  const some = (data: Int32Array): Int32Array => rowsOf(data, length, first, rows);
  return {
    ...texts,
    labels: some(batch.labels),
    promptMask: some(batch.promptMask),
    assistantMask: some(batch.assistantMask),
    anchorHash: rowsOf(batch.anchorHash, 1, first, rows),
    positiveHash: rowsOf(batch.positiveHash, 1, first, rows),
  };
}
