/** @file Rows that are their own pairs, beside an objective that has no part in them. */
import type { CausalLM } from "../models/index.js";
import type { Tensor } from "../tensor/index.js";
import type { Feeds, LossTerm, TracedFeeds } from "../training/objective.js";
import type { SelfAlignBatch } from "./data/collator.js";
import type { SelfAlignViews } from "./data/collator_options.js";
import type { Chunk, Encoding } from "./grad_cache.js";
import { SelfAlignObjective } from "./objectives/index.js";
import { PooledObjective, type PooledObjectiveOptions } from "./objectives/pooled.js";

/**
 * InfoNCE of the two views of a row, without the row's token loss: for trainers whose loss is another, which their own
 * batches keep.
 */
export class SelfPairsObjective extends PooledObjective<SelfAlignBatch> {
  readonly name = "self_align";
  readonly #both: SelfAlignObjective;

  constructor(options: PooledObjectiveOptions & { readonly views: SelfAlignViews }) {
    super(options);
    this.#both = new SelfAlignObjective(options);
  }

  chunks(batch: SelfAlignBatch, pairs: number): readonly Chunk[] {
    return this.#both.chunks(batch, pairs);
  }

  contrastFeeds(batch: SelfAlignBatch): Feeds {
    return this.#both.contrastFeeds(batch);
  }

  encode(model: CausalLM, feeds: TracedFeeds): Encoding {
    return { pooled: this.#both.encode(model, feeds).pooled };
  }

  contrast(pooled: readonly Tensor[], feeds: TracedFeeds): LossTerm {
    return this.#both.contrast(pooled, feeds);
  }

  tokens(batch: SelfAlignBatch): number {
    return this.#both.tokens(batch);
  }
}
