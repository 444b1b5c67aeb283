/** @file What contrastive training remembers from batch to batch. */
import { HostTensor } from "../../tensor/index.js";
import type { AllCarried, Carried, CarriedValues } from "../../training/carried.js";
import type { Feeds } from "../../training/objective.js";
import type { HostHashes, NegativeQueue } from "../losses/index.js";

/** Where anchors were so far, an exponential mean that the consistency metric compares with. */
export class RepresentationReference implements Carried {
  #values: readonly number[];

  constructor(size: number) {
    this.#values = new Array<number>(size).fill(0);
  }

  feed(): HostTensor {
    return new HostTensor(this.#values, [this.#values.length], "float32");
  }

  update(values: readonly number[] | undefined): void {
    if (values !== undefined) this.#values = values;
  }

  /** For checkpoints: a run that goes on compares with the same mean. */
  state(): CarriedValues {
    return { numbers: { mean: this.#values } };
  }

  restore({ numbers }: CarriedValues): void {
    const mean = numbers?.["mean"];
    if (mean?.length === this.#values.length) this.#values = mean;
  }
}

/** The reference, and the queue of negatives if there is one; shared by the objectives of a run. */
export class ContrastiveMemory {
  readonly reference: RepresentationReference;
  readonly queue: NegativeQueue | undefined;

  /** @param size of the vectors that are compared */
  constructor(size: number, queue?: NegativeQueue) {
    this.reference = new RepresentationReference(size);
    this.queue = queue;
  }

  /** What a batch is fed of it; see {@link observedOf} for what comes back. */
  feeds(): Feeds {
    const reference = this.reference.feed();
    if (this.queue === undefined) return { reference };
    const { vectors, hashes, filled } = this.queue.feeds();
    return { reference, queueVectors: vectors, queueHashes: hashes, queueFilled: filled };
  }

  /** Hears what a training batch gave. The queue takes it up when the step is over. */
  observe({ reference, positives }: Readonly<Record<string, readonly number[]>>, hashes: HostHashes): void {
    this.reference.update(reference);
    if (positives !== undefined) this.queue?.hold(positives, hashes);
  }

  /** What is saved with checkpoints. */
  carried(): AllCarried {
    return {
      representation: this.reference,
      ...(this.queue === undefined ? {} : { negative_queue: this.queue }),
    };
  }
}
