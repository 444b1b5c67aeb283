/** @file The queue of negatives, by hand. */
import { describe, expect, it } from "vitest";
import { NegativeQueue } from "../../../src/craft/losses/negative_queue.js";

const batch = (anchors: readonly number[], positives: readonly number[]) => ({
  anchorHash: Int32Array.from(anchors),
  positiveHash: Int32Array.from(positives),
});
/** Vectors [i, -i] of the given numbers. */
const vectors = (...numbers: number[]): number[] => numbers.flatMap((i) => [i, -i]);

/** First components of what may be a negative of each pair. */
function offered(queue: NegativeQueue, pairs: ReturnType<typeof batch>): number[][] {
  const { negatives, negativesAllowed } = queue.feeds(pairs);
  const [n, size] = negativesAllowed.shape as readonly [number, number];
  return Array.from({ length: n }, (_, i) =>
    Array.from({ length: size }, (_, j) => j)
      .filter((j) => Number(negativesAllowed.data[i * size + j]) === 1)
      .map((j) => Number(negatives.data[j * queue.dim])),
  );
}

const other = batch([100], [200]);

describe("NegativeQueue", () => {
  it("offers nothing before the first step, and then what was stored, the oldest leaving first", () => {
    const queue = new NegativeQueue({ size: 5, dim: 2 });
    expect(offered(queue, other)).toEqual([[]]);
    queue.push(vectors(1, 2, 3), batch([1, 2, 3], [11, 12, 13]));
    expect([queue.filled, offered(queue, other)]).toEqual([3, [[1, 2, 3]]]);
    queue.push(vectors(4, 5, 6), batch([4, 5, 6], [14, 15, 16]));
    // The sixth vector has taken the first place.
    expect([queue.filled, offered(queue, other)]).toEqual([5, [[6, 2, 3, 4, 5]]]);
    expect(queue.feeds(other).negatives.shape).toEqual([5, 2]);
    expect(Array.from(queue.feeds(other).negatives.data, Number).slice(0, 4)).toEqual([6, -6, 2, -2]);
  });

  it("offers no pair its own positive again, in whatever place and with whatever text that is", () => {
    const queue = new NegativeQueue({ size: 6, dim: 2 });
    queue.push(vectors(1, 2, 3), batch([1, 2, 3], [11, 12, 13]));
    // The same pairs in the next epoch, in another order.
    expect(offered(queue, batch([3, 1], [13, 11]))).toEqual([
      [1, 2],
      [2, 3],
    ]);
    // The same positive of another anchor, another positive of the same anchor, and the anchor's text as a positive.
    expect(offered(queue, batch([50, 2, 13], [11, 60, 70]))).toEqual([
      [2, 3],
      [1, 3],
      [1, 2],
    ]);
  });

  it("keeps what it feeds apart from what it stores", () => {
    const queue = new NegativeQueue({ size: 2, dim: 2 });
    queue.push(vectors(1), batch([1], [11]));
    const fed = queue.feeds(other);
    queue.push(vectors(2, 3), batch([2, 3], [12, 13]));
    expect(Array.from(fed.negatives.data, Number).slice(0, 2)).toEqual([1, -1]);
    const { negatives } = queue.feeds(other);
    (negatives.data as Float32Array).fill(9);
    expect(offered(queue, other)).toEqual([[3, 2]]);
  });

  it.each([1, 3, 5, 7])("goes on as if nothing had happened from its state after %i vectors", (count) => {
    const [whole, first, second] = [1, 2, 3].map(() => new NegativeQueue({ size: 5, dim: 2 })) as [
      NegativeQueue,
      NegativeQueue,
      NegativeQueue,
    ];
    const step = (queue: NegativeQueue, i: number) => queue.push(vectors(i), batch([i], [i + 10]));
    for (let i = 1; i <= count; i++) for (const queue of [whole, first]) step(queue, i);
    const saved = first.state();
    step(first, 99);
    second.push(vectors(7, 8, 9), batch([7, 8, 9], [7, 8, 9]));
    second.restore(saved);
    for (let i = count + 1; i <= count + 4; i++) for (const queue of [whole, second]) step(queue, i);
    expect(second.state()).toEqual(whole.state());
    expect(second.feeds(batch([count], [count + 10]))).toEqual(whole.feeds(batch([count], [count + 10])));
  });

  it("refuses batches that are larger than it is, vectors of another size and states of other queues", () => {
    const queue = new NegativeQueue({ size: 2, dim: 2 });
    expect(() => queue.push(vectors(1, 2, 3), batch([1, 2, 3], [1, 2, 3]))).toThrow(
      "craft_negative_queue_size = 2: is smaller than a contrastive batch of 3 pairs.",
    );
    expect(() => queue.push([1, 2, 3], batch([1, 2], [1, 2]))).toThrow("2 vectors of 2 were to come");
    expect(queue.filled).toBe(0);
    expect(() => new NegativeQueue({ size: 0, dim: 2 })).toThrow("queue, size = 0");
    expect(() => new NegativeQueue({ size: 2, dim: 1.5 })).toThrow("queue, dim = 1.5");
    expect(() => queue.restore(new NegativeQueue({ size: 3, dim: 2 }).state())).toThrow(
      "queue, size = 3: the queue of this run has 2.",
    );
    expect(() => queue.restore({ ...queue.state(), filled: 1 })).toThrow("its state contradicts itself");
  });
});
