/** @file Positives of earlier steps as negatives of this one. */
import { CraftError } from "../../errors.js";
import { arange, eq, HostTensor, logicalAnd, logicalNot, lt, select, unsqueeze } from "../../tensor/index.js";
import type { Tensor } from "../../tensor/index.js";
import { cpu, type Device } from "../../torch/device.js";
import { DeviceTensor } from "../../torch/device_tensor.js";
import type { Carried, CarriedValues } from "../../training/carried.js";
import type { HostHashes } from "./duplicates.js";

export interface NegativeQueueOptions {
  /** Vectors that the queue holds; at least as many as a batch has pairs. */
  readonly size: number;
  /** Size of a vector. */
  readonly dim: number;
  /** Default the CPU. */
  readonly device?: Device;
}

/** What a traced function is fed of a queue. The device tensors are lent: they are the queue's own memory. */
export type QueueFeeds = {
  /** float32 [size, dim]; places that are not filled hold zeros. */
  readonly vectors: DeviceTensor;
  /** int32 [2, size]: hashes of the anchors and of the positives that the vectors belong to. */
  readonly hashes: DeviceTensor;
  /** int32 []: how many places are filled, from the first on. */
  readonly filled: HostTensor;
};

/** {@link QueueFeeds} inside a traced function. */
export type TracedQueue = { readonly [Name in keyof QueueFeeds]: Tensor };

/**
 * The latest positives, as further negatives (a queue as in MoCo, He et al. 2020, without its second encoder: vectors
 * are as the model gave them in their step). No gradient goes to them.
 *
 * A vector is no negative of a pair whose text it is: of the same positive or anchor, or stored with the same anchor,
 * as a pair's own positive of the last epoch is.
 *
 * What a step's batches give is held back until the step is over, so that all its micro-batches are contrasted with the
 * same negatives.
 *
 * @example
 * const step = compile((anchor: Tensor, positive: Tensor, texts: Texts, queued: TracedQueue) => {
 *   const { negativeHash, ...further } = queuedNegatives(queued, texts);
 *   return nce.forwardFromPooled(anchor, positive, { ...further, hashes: { ...texts, negativeHash } });
 * });
 * const { positive } = await step(…, queue.feeds());
 * queue.hold(positive.toNumbers(), batch);
 * // … the optimiser's step …
 * queue.advance();
 */
export class NegativeQueue implements Carried {
  readonly size: number;
  readonly dim: number;
  readonly #vectors: DeviceTensor;
  readonly #hashes: DeviceTensor;
  #filled = 0;
  #next = 0;
  #held: { readonly vectors: Float32Array; readonly hashes: HostHashes }[] = [];

  /** libtorch must be loaded. @throws {@link CraftError} for sizes that are no whole numbers from 1 on. */
  constructor({ size, dim, device = cpu }: NegativeQueueOptions) {
    for (const [subject, value] of Object.entries({ size, dim }))
      if (!Number.isSafeInteger(value) || value < 1)
        throw new CraftError({
          subject: `queue, ${subject}`,
          value,
          reason: "must be a whole number from 1 on",
        });
    this.size = size;
    this.dim = dim;
    this.#vectors = DeviceTensor.full([size, dim], 0, "float32", device);
    this.#hashes = DeviceTensor.full([2, size], 0, "int32", device);
  }

  /** How many vectors are stored. */
  get filled(): number {
    return this.#filled;
  }

  /** Everything that is stored, for {@link queuedNegatives}. */
  feeds(): QueueFeeds {
    const filled = new HostTensor([this.#filled], [], "int32");
    return { vectors: this.#vectors, hashes: this.#hashes, filled };
  }

  /** Which anchors of a batch have a negative here. */
  anchorsWithNegatives({ anchorHash, positiveHash }: HostHashes): boolean[] {
    const hashes = this.#hashes.toTypedArray();
    const found = Array.from(anchorHash, () => false);
    for (let j = 0; j < this.#filled && found.includes(false); j++) {
      const [anchor, positive] = [hashes[j], hashes[this.size + j]];
      for (const i of found.keys())
        found[i] ||= positiveHash[i] !== positive && anchorHash[i] !== positive && anchorHash[i] !== anchor;
    }
    return found;
  }

  /** Whether some pair of a batch has a negative here. */
  hasNegatives(batch: HostHashes): boolean {
    return this.anchorsWithNegatives(batch).includes(true);
  }

  /**
   * Keeps the positives of a batch for {@link advance}.
   *
   * @param vectors [n, dim], row by row
   * @throws {@link CraftError} if the batch has more pairs than the queue has places, or vectors of another size.
   */
  hold(vectors: ArrayLike<number>, { anchorHash, positiveHash }: HostHashes): void {
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
    this.#held.push({ vectors: Float32Array.from(vectors), hashes: { anchorHash, positiveHash } });
  }

  /** Stores what was held back over the oldest vectors. To be called when a step is over. */
  advance(): void {
    for (const { vectors, hashes } of this.#held) this.#store(vectors, hashes);
    this.#held = [];
  }

  #store(vectors: Float32Array, { anchorHash, positiveHash }: HostHashes): void {
    const { size, dim } = this;
    for (let done = 0; done < positiveHash.length;) {
      const [place, count] = [this.#next, Math.min(positiveHash.length - done, size - this.#next)];
      write(this.#vectors, place * dim, vectors.subarray(done * dim, (done + count) * dim));
      write(this.#hashes, place, anchorHash.subarray(done, done + count));
      write(this.#hashes, size + place, positiveHash.subarray(done, done + count));
      this.#next = (place + count) % size;
      this.#filled = Math.min(this.#filled + count, size);
      done += count;
    }
  }

  /** What is stored. The tensors are lent. */
  state(): CarriedValues {
    return {
      numbers: { place: [this.#filled, this.#next] },
      tensors: { vectors: this.#vectors, hashes: this.#hashes },
    };
  }

  /** @throws {@link CraftError} for a state that contradicts itself. */
  restore({ numbers, tensors }: CarriedValues): void {
    const [filled = NaN, next = NaN] = numbers?.["place"] ?? [];
    const { vectors, hashes } = tensors ?? {};
    const whole =
      [filled, next].every((value) => Number.isInteger(value) && value >= 0) &&
      next < this.size &&
      (filled === this.size || filled === next) &&
      vectors?.shape.join() === this.#vectors.shape.join() &&
      hashes?.shape.join() === this.#hashes.shape.join();
    if (!whole || vectors === undefined || hashes === undefined)
      throw new CraftError({
        subject: "queue",
        value: { filled, next },
        reason: `is no state of a queue of ${this.size} vectors of ${this.dim}`,
      });
    this.#filled = filled;
    this.#next = next;
    this.#vectors.copyFrom(vectors);
    this.#hashes.copyFrom(hashes);
    this.#held = [];
  }

  /** Frees the memory. */
  dispose(): void {
    this.#vectors.dispose();
    this.#hashes.dispose();
  }
}

/** Overwrites elements from a place on. */
function write(tensor: DeviceTensor, place: number, values: Float32Array | Int32Array): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  tensor.bytes().set(bytes, place * values.BYTES_PER_ELEMENT);
}

/**
 * The vectors of a queue for {@link Contrast}, inside a traced function.
 *
 * @param hashes those of the batch, int32 [n]
 * @returns `negatives` [size, dim] and `negativesAllowed` [n, size]; `negativeHash` [size] is for `hashes`, without
 * which a pair's own texts are not left out.
 */
export function queuedNegatives(
  { vectors, hashes: stored, filled }: TracedQueue,
  { anchorHash }: { readonly anchorHash: Tensor },
): { readonly negatives: Tensor; readonly negativesAllowed: Tensor; readonly negativeHash: Tensor } {
  const isFilled = lt(arange(0, vectors.shape[0]!, "int32"), filled);
  const sameAnchor = eq(unsqueeze(anchorHash, 1), unsqueeze(select(stored, 0, 0), 0));
  return {
    negatives: vectors,
    negativesAllowed: logicalAnd(logicalNot(sameAnchor), unsqueeze(isFilled, 0)),
    negativeHash: select(stored, 0, 1),
  };
}
