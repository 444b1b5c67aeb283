/** @file The queue of negatives, by hand. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { NegativeQueue, queuedNegatives, type TracedQueue } from "../../../src/craft/losses/index.js";
import {
  compile,
  eq,
  HostTensor,
  logicalAnd,
  logicalNot,
  unsqueeze,
  type Tensor,
} from "../../../src/tensor/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";

beforeAll(() => loadTorch());

const batch = (anchors: readonly number[], positives: readonly number[]) => ({
  anchorHash: Int32Array.from(anchors),
  positiveHash: Int32Array.from(positives),
});
type Pairs = ReturnType<typeof batch>;
/** Vectors [i, -i] of the given numbers. */
const vectors = (...numbers: number[]): number[] => numbers.flatMap((i) => [i, -i]);

const queues: NegativeQueue[] = [];
function newQueue(size: number): NegativeQueue {
  const queue = new NegativeQueue({ size, dim: 2 });
  queues.push(queue);
  return queue;
}
afterEach(() => queues.splice(0).forEach((queue) => queue.dispose()));

function push(queue: NegativeQueue, values: readonly number[], pairs: Pairs): void {
  queue.hold(values, pairs);
  queue.advance();
}

const ask = compile((queue: TracedQueue, anchorHash: Tensor, positiveHash: Tensor) => {
  const { negatives, negativesAllowed, negativeHash } = queuedNegatives(queue, { anchorHash });
  const says = (texts: Tensor): Tensor => eq(unsqueeze(texts, 1), unsqueeze(negativeHash, 0));
  const other = logicalAnd(logicalNot(says(anchorHash)), logicalNot(says(positiveHash)));
  return { negatives: negatives.add(0), allowed: logicalAnd(negativesAllowed, other) };
});

const int32 = (values: Int32Array): HostTensor => new HostTensor(values, [values.length], "int32");

/** What stands in the queue, and for each pair the first components of what may be its negative. */
async function asked(queue: NegativeQueue, pairs: Pairs) {
  const found = await ask(queue.feeds(), int32(pairs.anchorHash), int32(pairs.positiveHash));
  using negatives = found.negatives;
  using allowed = found.allowed;
  const [stored, table] = [negatives.toNumbers(), allowed.toNumbers()];
  const offered = Array.from(pairs.anchorHash, (_, i) =>
    stored.filter((_, at) => at % 2 === 0 && table[i * queue.size + at / 2] === 1),
  );
  return { stored, offered };
}
const offered = async (queue: NegativeQueue, pairs: Pairs) => (await asked(queue, pairs)).offered;

const other = batch([100], [200]);

describe("NegativeQueue", () => {
  it("offers nothing before the first step, and then what was stored, the oldest leaving first", async () => {
    const queue = newQueue(5);
    expect(await offered(queue, other)).toEqual([[]]);
    push(queue, vectors(1, 2, 3), batch([1, 2, 3], [11, 12, 13]));
    expect([queue.filled, await offered(queue, other)]).toEqual([3, [[1, 2, 3]]]);
    push(queue, vectors(4, 5, 6), batch([4, 5, 6], [14, 15, 16]));
    // The sixth vector has taken the first place.
    expect([queue.filled, await offered(queue, other)]).toEqual([5, [[6, 2, 3, 4, 5]]]);
    expect((await asked(queue, other)).stored).toEqual(vectors(6, 2, 3, 4, 5));
  });

  it("keeps the last 20 of 25", async () => {
    const queue = newQueue(20);
    const first = Array.from({ length: 20 }, (_, i) => i + 1);
    push(queue, vectors(...first), batch(first, first));
    push(queue, vectors(21, 22, 23, 24, 25), batch([21, 22, 23, 24, 25], [21, 22, 23, 24, 25]));
    const [found] = await offered(queue, other);
    expect([...found!].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 6));
  });

  it("takes up what a step gave when the step is over", async () => {
    const queue = newQueue(5);
    queue.hold(vectors(1, 2), batch([1, 2], [11, 12]));
    queue.hold(vectors(3), batch([3], [13]));
    expect([queue.filled, await offered(queue, other)]).toEqual([0, [[]]]);
    queue.advance();
    expect([queue.filled, await offered(queue, other)]).toEqual([3, [[1, 2, 3]]]);
    queue.advance();
    expect(queue.filled).toBe(3);
  });

  it("offers no pair its own positive again, in whatever place and with whatever text that is", async () => {
    const queue = newQueue(6);
    push(queue, vectors(1, 2, 3), batch([1, 2, 3], [11, 12, 13]));
    // The same pairs in the next epoch, in another order.
    expect(await offered(queue, batch([3, 1], [13, 11]))).toEqual([
      [1, 2],
      [2, 3],
    ]);
    // The same positive of another anchor, another positive of the same anchor, and the anchor's text as a positive.
    expect(await offered(queue, batch([50, 2, 13], [11, 60, 70]))).toEqual([
      [2, 3],
      [1, 3],
      [1, 2],
    ]);
  });

  it("says whether it has a negative for a batch", () => {
    const queue = newQueue(3);
    expect(queue.hasNegatives(other)).toBe(false);
    push(queue, vectors(1), batch([1], [11]));
    expect(queue.hasNegatives(other)).toBe(true);
    for (const own of [batch([1], [60]), batch([11], [60]), batch([60], [11])])
      expect(queue.hasNegatives(own)).toBe(false);
    expect(queue.hasNegatives(batch([1, 60], [11, 61]))).toBe(true);
  });

  it.each([1, 3, 5, 7])(
    "goes on as if nothing had happened from its state after %i vectors",
    async (count) => {
      const [whole, first, second] = [newQueue(5), newQueue(5), newQueue(5)];
      const step = (queue: NegativeQueue, i: number) => push(queue, vectors(i), batch([i], [i + 10]));
      for (let i = 1; i <= count; i++) for (const queue of [whole, first]) step(queue, i);
      push(second, vectors(7, 8, 9), batch([7, 8, 9], [7, 8, 9]));
      second.hold(vectors(10), batch([10], [10]));
      second.restore(first.state());
      second.advance();
      step(first, 99);
      for (let i = count + 1; i <= count + 4; i++) for (const queue of [whole, second]) step(queue, i);
      for (const pairs of [other, batch([count], [count + 10])])
        expect(await asked(second, pairs)).toEqual(await asked(whole, pairs));
      expect(second.state().numbers).toEqual(whole.state().numbers);
    },
  );

  it("refuses batches that are larger than it is, vectors of another size and states of other queues", () => {
    const queue = newQueue(2);
    expect(() => queue.hold(vectors(1, 2, 3), batch([1, 2, 3], [1, 2, 3]))).toThrow(
      "craft_negative_queue_size = 2: is smaller than a contrastive batch of 3 pairs.",
    );
    expect(() => queue.hold([1, 2, 3], batch([1, 2], [1, 2]))).toThrow("2 vectors of 2 were to come");
    queue.advance();
    expect(queue.filled).toBe(0);
    expect(() => new NegativeQueue({ size: 0, dim: 2 })).toThrow("queue, size = 0");
    expect(() => new NegativeQueue({ size: 2, dim: 1.5 })).toThrow("queue, dim = 1.5");
    const { tensors } = queue.state();
    for (const place of [[1, 0], [3, 0], [2, 2], [0.5, 0.5], [1]])
      expect(() => queue.restore({ tensors: tensors!, numbers: { place } })).toThrow(
        "is no state of a queue of 2 vectors of 2",
      );
    expect(() => queue.restore(newQueue(3).state())).toThrow("is no state of a queue of 2 vectors of 2");
  });

  it("lends its memory, and frees it", async () => {
    const before = liveTensors();
    const queue = new NegativeQueue({ size: 5, dim: 2 });
    const { vectors: lent, hashes } = queue.feeds();
    expect([lent, hashes].every((tensor) => tensor instanceof DeviceTensor)).toBe(true);
    await asked(queue, other);
    queue.dispose();
    expect(liveTensors()).toBe(before);
  });
});
