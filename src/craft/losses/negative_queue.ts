/** @file Positives of earlier steps as negatives of this one. */
import { CraftError } from "../../errors.js";
import { HostTensor } from "../../tensor/index.js";
import type { HostHashes } from "./duplicates.js";

export interface NegativeQueueOptions {
  /** Vectors that the queue holds; at least as many as a batch has pairs. */
  readonly size: number;
  /** Size of a vector. */
  readonly dim: number;
}

/** What the loss is fed: `negatives` and `negativesAllowed` of {@link Contrast}. */
export interface QueueFeeds {
  /** float32 [size, dim]; places that are not filled hold zeros. */
  readonly negatives: HostTensor;
  /** Bool [n, size]: where a stored vector may be a negative of an anchor. */
  readonly negativesAllowed: HostTensor;
}

/** A queue as it stands, for checkpoints. Row i belongs to hash i of either side. */
export interface QueueState {
  readonly size: number;
  readonly dim: number;
  /** Places that are filled, from the first on. */
  readonly filled: number;
  /** The place that the next vector goes to. */
  readonly next: number;
  /** [filled, dim] */
  readonly vectors: Float32Array;
  /** [filled] */
  readonly anchorHash: Int32Array;
  /** [filled] */
  readonly positiveHash: Int32Array;
}

/**
 * The latest positives, as further negatives (a queue as in MoCo, He et al. 2020, without its second encoder: vectors
 * are as the model gave them in their step). No gradient goes to them.
 *
 * A vector is no negative of a pair whose text it is: of the same positive or anchor, or stored with the same anchor,
 * as a pair's own positive of the last epoch is.
 *
 * @example
 * const { negatives, negativesAllowed } = queue.feeds(batch);
 * // … the loss of the step, which also gives the vectors of the positives …
 * queue.push(vectors, batch);
 */
export class NegativeQueue {
  readonly size: number;
  readonly dim: number;
  #filled = 0;
  #next = 0;
  readonly #vectors: Float32Array;
  readonly #anchorHash: Int32Array;
  readonly #positiveHash: Int32Array;

  /** @throws {@link CraftError} for sizes that are no whole numbers from 1 on. */
  constructor({ size, dim }: NegativeQueueOptions) {
    for (const [subject, value] of Object.entries({ size, dim }))
      if (!Number.isSafeInteger(value) || value < 1)
        throw new CraftError({
          subject: `queue, ${subject}`,
          value,
          reason: "must be a whole number from 1 on",
        });
    this.size = size;
    this.dim = dim;
    this.#vectors = new Float32Array(size * dim);
    this.#anchorHash = new Int32Array(size);
    this.#positiveHash = new Int32Array(size);
  }

  /** How many vectors are stored. */
  get filled(): number {
    return this.#filled;
  }

  /** Everything that is stored, and with which pairs it may be contrasted. The arrays are copies. */
  feeds({ anchorHash, positiveHash }: HostHashes): QueueFeeds {
    const n = anchorHash.length;
    const allowed = new Uint8Array(n * this.size);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < this.#filled; j++)
        if (!this.#isOwn(anchorHash[i]!, positiveHash[i]!, j)) allowed[i * this.size + j] = 1;
    return {
      negatives: new HostTensor(this.#vectors.slice(), [this.size, this.dim], "float32"),
      negativesAllowed: new HostTensor(allowed, [n, this.size], "bool"),
    };
  }

  #isOwn(anchor: number, positive: number, place: number): boolean {
    const stored = this.#positiveHash[place];
    return stored === positive || stored === anchor || this.#anchorHash[place] === anchor;
  }

  /**
   * Stores the positives of a batch over the oldest ones. To be called when the step is over.
   *
   * @param vectors [n, dim], row by row
   * @throws {@link CraftError} if the batch has more pairs than the queue has places, or vectors of another size.
   */
  push(vectors: ArrayLike<number>, { anchorHash, positiveHash }: HostHashes): void {
    const n = positiveHash.length;
    if (vectors.length !== n * this.dim || anchorHash.length !== n)
      throw new CraftError({
        subject: "queue",
        value: `${vectors.length} numbers`,
        reason: `${n} vectors of ${this.dim} were to come`,
      });
    if (n > this.size)
      throw new CraftError({
        subject: "craft_negative_queue_size",
        value: this.size,
        reason: `is smaller than a contrastive batch of ${n} pairs`,
        remedy: "Make the queue larger; it is of use from several batches on",
      });
    for (let i = 0; i < n; i++) {
      for (let d = 0; d < this.dim; d++)
        this.#vectors[this.#next * this.dim + d] = vectors[i * this.dim + d]!;
      this.#anchorHash[this.#next] = anchorHash[i]!;
      this.#positiveHash[this.#next] = positiveHash[i]!;
      this.#next = (this.#next + 1) % this.size;
      this.#filled = Math.min(this.#filled + 1, this.size);
    }
  }

  /** A copy of what is stored. */
  state(): QueueState {
    const filled = this.#filled;
    return {
      size: this.size,
      dim: this.dim,
      filled,
      next: this.#next,
      vectors: this.#vectors.slice(0, filled * this.dim),
      anchorHash: this.#anchorHash.slice(0, filled),
      positiveHash: this.#positiveHash.slice(0, filled),
    };
  }

  /** @throws {@link CraftError} for the state of a queue of other sizes, or one that contradicts itself. */
  restore({ size, dim, filled, next, vectors, anchorHash, positiveHash }: QueueState): void {
    for (const [name, value, own] of [
      ["size", size, this.size],
      ["dim", dim, this.dim],
    ] as const) {
      if (value === own) continue;
      throw new CraftError({
        subject: `queue, ${name}`,
        value,
        reason: `the queue of this run has ${own}`,
        remedy: "Resume with the settings that the state was saved with",
      });
    }
    const whole =
      Number.isInteger(filled) &&
      filled >= 0 &&
      filled <= size &&
      next === (filled < size ? filled : next) &&
      Number.isInteger(next) &&
      next >= 0 &&
      next < size &&
      vectors.length === filled * dim &&
      anchorHash.length === filled &&
      positiveHash.length === filled;
    if (!whole)
      throw new CraftError({
        subject: "queue",
        value: { filled, next },
        reason: "its state contradicts itself",
      });
    this.#filled = filled;
    this.#next = next;
    this.#vectors.fill(0).set(vectors);
    this.#anchorHash.fill(0).set(anchorHash);
    this.#positiveHash.fill(0).set(positiveHash);
  }
}
