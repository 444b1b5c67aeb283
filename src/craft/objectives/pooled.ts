/** @file Objectives whose loss is a function of one vector for each text. */
import type { CausalLM } from "../../models/index.js";
import type { Tensor } from "../../tensor/index.js";
import type {
  Feeds,
  LossTerm,
  Objective,
  ProgramOptions,
  TracedFeeds,
  TrainingProgram,
} from "../../training/objective.js";
import { endToEnd, GradCache, type Chunk, type Encoder, type Encoding } from "../grad_cache.js";
import type { HostHashes, InfoNCELoss } from "../losses/index.js";
import type { ContrastiveMemory } from "./memory.js";

export interface PooledObjectiveOptions {
  readonly nce: InfoNCELoss;
  /** Undefined for evaluations, which report other measures. */
  readonly memory?: ContrastiveMemory | undefined;
  /** Pairs that pass through the model at a time in training; see {@link GradCache}. All by default. */
  readonly chunkSize?: number | undefined;
}

/**
 * The model makes vectors of texts, row by row; the loss is computed of all of them together. So the texts may pass
 * through the model in one program with the loss, or in chunks.
 */
export abstract class PooledObjective<Batch extends HostHashes> implements Objective<Batch>, Encoder<Batch> {
  abstract readonly name: string;
  protected readonly nce: InfoNCELoss;
  protected readonly memory: ContrastiveMemory | undefined;
  readonly #chunkSize: number | undefined;

  constructor({ nce, memory, chunkSize }: PooledObjectiveOptions) {
    this.nce = nce;
    this.memory = memory;
    this.#chunkSize = chunkSize;
  }

  /** The texts in chunks of so many pairs. */
  abstract chunks(batch: Batch, pairs: number): readonly Chunk[];
  /** What {@link contrast} reads beside pooled vectors. */
  abstract contrastFeeds(batch: Batch): Feeds;
  /** Traced. What the model makes of a chunk. */
  abstract encode(model: CausalLM, feeds: TracedFeeds, group: number): Encoding;
  /** Traced. The loss of what {@link encode} gave for all chunks, laid end to end. */
  abstract contrast(pooled: readonly Tensor[], feeds: TracedFeeds): LossTerm;
  abstract tokens(batch: Batch): number;

  get head(): InfoNCELoss {
    return this.nce;
  }

  feeds(batch: Batch): Feeds {
    const groups = this.chunks(batch, Infinity).flatMap(({ feeds, group }) =>
      Object.entries(feeds).map(([name, feed]) => [`${group}.${name}`, feed] as const),
    );
    return { ...this.contrastFeeds(batch), ...Object.fromEntries(groups) };
  }

  loss(model: CausalLM, feeds: TracedFeeds): Readonly<Record<string, LossTerm>> {
    const encoded = groupsOf(feeds).map((own, group) => this.encode(model, own, group));
    const terms = encoded.flatMap(({ terms: own = {} }) => Object.entries(own));
    const pooled = endToEnd(encoded.map((each) => each.pooled));
    return { ...Object.fromEntries(terms), contrastive: this.contrast(pooled, feeds) };
  }

  program(options: ProgramOptions): TrainingProgram<Batch> | undefined {
    return this.#chunkSize === undefined ? undefined : new GradCache(this, this.#chunkSize, options);
  }

  observe(values: Readonly<Record<string, readonly number[]>>, batch: Batch): void {
    this.memory?.observe(values, batch);
  }
}

/** The feeds of each group, which {@link PooledObjective.feeds} has put together. */
function groupsOf(feeds: TracedFeeds): TracedFeeds[] {
  const groups: Record<string, Tensor>[] = [];
  for (const [name, tensor] of Object.entries(feeds)) {
    const [, group, own] = /^(\d+)\.(.+)$/.exec(name) ?? [];
    if (group !== undefined && own !== undefined) (groups[Number(group)] ??= {})[own] = tensor;
  }
  return groups;
}
