import { describe, expect, it } from "vitest";
import { Dataset } from "../../../src/data/dataset.js";
import { IterableDataset } from "../../../src/data/iterable.js";
import { DataLoader, rowLengths, StreamingDataLoader, type Loader } from "../../../src/data/loader.js";
import { BatchSampler } from "../../../src/data/sampler.js";

const numbers = (n: number) => Dataset.fromArray(Array.from({ length: n }, (_, i) => i));
const collate = (rows: readonly number[]) => [...rows];

function loaderOf(
  n: number,
  options: { batchSize: number; seed?: number; shuffle?: boolean; dropLast?: boolean },
) {
  return new DataLoader({ dataset: numbers(n), collate, ...options });
}

async function epochOf<Item>(loader: Loader<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of loader) items.push(item);
  return items;
}

const sorted = (batches: readonly (readonly number[])[]) => batches.flat().sort((a, b) => a - b);
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

describe("DataLoader", () => {
  it("keeps the rows' order and the short last batch without shuffling", async () => {
    const loader = loaderOf(7, { batchSize: 3, shuffle: false });
    expect(loader.length).toBe(3);
    expect(await epochOf(loader)).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });

  it("drops the last batch only when told to, and counts truly", async () => {
    const loader = loaderOf(7, { batchSize: 3, shuffle: false, dropLast: true });
    expect(loader.length).toBe(2);
    expect(await epochOf(loader)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(loaderOf(6, { batchSize: 3 }).length).toBe(2);
  });

  it.each([1, 2, 5, 23])("visits each of 23 rows once an epoch, batch size %i", async (batchSize) => {
    const loader = loaderOf(23, { batchSize, seed: 9 });
    const orders: string[] = [];
    for (let epoch = 0; epoch < 4; epoch++) {
      const batches = await epochOf(loader);
      expect(batches.length).toBe(loader.length);
      expect(sorted(batches)).toEqual(upTo(23));
      orders.push(batches.flat().join());
    }
    expect(new Set(orders).size).toBe(4);
  });

  it("orders rows as a function of seed and epoch alone, whatever was read before", async () => {
    const fresh = loaderOf(50, { batchSize: 4, seed: 3 });
    fresh.restore({ epoch: 2, position: 0 });
    const used = loaderOf(50, { batchSize: 4, seed: 3 });
    await epochOf(used);
    await epochOf(used);
    expect(await epochOf(used)).toEqual(await epochOf(fresh));
    const other = loaderOf(50, { batchSize: 4, seed: 4 });
    other.restore({ epoch: 2, position: 0 });
    fresh.restore({ epoch: 2, position: 0 });
    expect(await epochOf(other)).not.toEqual(await epochOf(fresh));
  });

  it("resumes at the batch after the last one given, from any place, across epochs", async () => {
    const through = loaderOf(11, { batchSize: 4, seed: 1 });
    const all = [...(await epochOf(through)), ...(await epochOf(through)), ...(await epochOf(through))];
    expect(all.length).toBe(9);
    for (let stop = 1; stop <= 6; stop++) {
      const killed = loaderOf(11, { batchSize: 4, seed: 1 });
      let taken = 0;
      while (taken < stop) {
        for await (const _ of killed) if (++taken === stop) break;
      }
      expect(killed.state()).toEqual({ epoch: Math.floor(stop / 3), position: stop % 3 });
      const resumed = loaderOf(11, { batchSize: 4, seed: 1 });
      resumed.restore(JSON.parse(JSON.stringify(killed.state())) as { epoch: number; position: number });
      const rest: number[][] = [];
      while (rest.length < 9 - stop) rest.push(...(await epochOf(resumed)));
      expect(rest).toEqual(all.slice(stop));
    }
  });

  it("groups rows of like length and still visits each once", async () => {
    const lengths = Array.from({ length: 100 }, (_, i) => (i * 37) % 100);
    const options = { dataset: numbers(100), batchSize: 4, collate, seed: 5 };
    const spread = (batches: readonly (readonly number[])[]) =>
      batches.reduce((sum, rows) => {
        const own = rows.map((row) => lengths[row]!);
        return sum + Math.max(...own) - Math.min(...own);
      }, 0);
    const loader = new DataLoader({ ...options, lengths });
    const grouped = await epochOf(loader);
    expect(sorted(grouped)).toEqual(upTo(100));
    // All 100 rows are sorted together: 25 batches, each of four neighbours, whose lengths differ by 3.
    expect(spread(grouped)).toBe(75);
    expect(spread(await epochOf(new DataLoader(options)))).toBeGreaterThan(1000);
    const order = grouped.map((rows) => lengths[rows[0]!]!);
    expect(order).not.toEqual([...order].sort((a, b) => b - a));
    expect(await epochOf(loader)).not.toEqual(grouped);
  });

  it("reads token counts for grouping", async () => {
    const dataset = Dataset.fromArray([{ input_ids: [1, 2] }, { input_ids: Int32Array.of(1, 2, 3) }]);
    expect(await rowLengths(dataset)).toEqual(Int32Array.of(2, 3));
    await expect(rowLengths(Dataset.fromArray([{ text: "a" }]))).rejects.toThrow(
      'dataset, row 0: has no column "input_ids"',
    );
  });

  it("refuses what cannot work", () => {
    expect(() => loaderOf(0, { batchSize: 2 })).toThrow("dataset: the dataset has no row.");
    expect(() => loaderOf(3, { batchSize: 0 })).toThrow("batchSize = 0: must be an integer of at least 1.");
    expect(() => loaderOf(3, { batchSize: 4, dropLast: true })).toThrow(
      "with dropLast, 3 rows make no batch of 4",
    );
    expect(() => loaderOf(7, { batchSize: 3 }).restore({ epoch: 0, position: 3 })).toThrow(
      "is no place in epochs of 3",
    );
    expect(() => new DataLoader({ dataset: numbers(3), batchSize: 2, collate, lengths: [1, 2] })).toThrow(
      "lengths = 2 numbers: there must be one number for each of the 3 rows",
    );
    const misspelt = { dataset: numbers(3), batchSize: 2, collate, dropLats: true };
    expect(() => new DataLoader(misspelt)).toThrow("DataLoader, option dropLats: there is no such option.");
  });
});

describe("BatchSampler", () => {
  it("lets a last batch that is too small join the one before", () => {
    const sampler = new BatchSampler({ rows: 9, batchSize: 4, seed: 0, shuffle: false, smallestBatch: 2 });
    expect(sampler.length).toBe(2);
    expect([...sampler.batch(0, 1)]).toEqual([4, 5, 6, 7, 8]);
    const whole = new BatchSampler({ rows: 10, batchSize: 4, seed: 0, shuffle: false, smallestBatch: 2 });
    expect([...whole.batch(0, 2)]).toEqual([8, 9]);
    expect(() => new BatchSampler({ rows: 1, batchSize: 4, seed: 0, smallestBatch: 2 })).toThrow(
      "rows = 1: at least 2 are needed for a batch",
    );
  });
});

describe("BatchSampler with groups", () => {
  // 30 rows, of which 24 are of one group: shuffled blindly, every third batch of 3 or so would be of that group alone.
  const groups = Array.from({ length: 30 }, (_, i) => (i < 24 ? 0 : i));
  const batches = (sampler: BatchSampler, epoch: number) =>
    upTo(sampler.length).map((i) => [...sampler.batch(epoch, i)]);
  const mixed = (rows: readonly number[]) => new Set(rows.map((row) => groups[row])).size > 1;

  it("makes no batch of one group while others can be had", () => {
    const blind = new BatchSampler({ rows: 30, batchSize: 5, seed: 2 });
    const told = new BatchSampler({ rows: 30, batchSize: 5, seed: 2, groups });
    expect(upTo(10).some((epoch) => !batches(blind, epoch).every(mixed))).toBe(true);
    for (let epoch = 0; epoch < 10; epoch++) {
      expect(batches(told, epoch).every(mixed)).toBe(true);
      expect(sorted(batches(told, epoch))).toEqual(upTo(30));
    }
  });

  it("leaves an order alone in which no batch is of one group, and all rows of one group as they are", () => {
    const blind = new BatchSampler({ rows: 30, batchSize: 5, seed: 2 });
    const apart = new BatchSampler({ rows: 30, batchSize: 5, seed: 2, groups: upTo(30) });
    const alike = new BatchSampler({
      rows: 30,
      batchSize: 5,
      seed: 2,
      groups: new Array<number>(30).fill(7),
    });
    expect(batches(apart, 1)).toEqual(batches(blind, 1));
    expect(batches(alike, 1)).toEqual(batches(blind, 1));
  });
});

describe("StreamingDataLoader", () => {
  const stream = () => IterableDataset.fromGenerator((epoch) => [0, 1, 2, 3, 4].map((i) => epoch * 10 + i));

  it("batches each epoch of a stream", async () => {
    const loader = new StreamingDataLoader({ dataset: stream(), batchSize: 2, collate });
    expect(loader.length).toBeUndefined();
    expect(await epochOf(loader)).toEqual([[0, 1], [2, 3], [4]]);
    expect(await epochOf(loader)).toEqual([[10, 11], [12, 13], [14]]);
    const full = new StreamingDataLoader({ dataset: stream(), batchSize: 2, collate, dropLast: true });
    expect(await epochOf(full)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it("resumes by passing over what was seen", async () => {
    const loader = new StreamingDataLoader({ dataset: stream(), batchSize: 2, collate });
    for await (const _ of loader) break;
    expect(loader.state()).toEqual({ epoch: 0, position: 1 });
    const resumed = new StreamingDataLoader({ dataset: stream(), batchSize: 2, collate });
    resumed.restore({ epoch: 1, position: 1 });
    expect(await epochOf(resumed)).toEqual([[12, 13], [14]]);
    expect(await epochOf(resumed)).toEqual([[20, 21], [22, 23], [24]]);
  });

  it("refuses a stream without rows, which would never end", async () => {
    const empty = IterableDataset.fromGenerator(() => [] as number[], { name: "nothing" });
    const loader = new StreamingDataLoader({ dataset: empty, batchSize: 2, collate });
    await expect(epochOf(loader)).rejects.toThrow("nothing: the stream gave no row in epoch 0.");
  });
});
