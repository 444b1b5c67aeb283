import { describe, expect, it } from "vitest";
import { IterableDataset } from "../../../src/data/iterable.js";

async function collect<R>(rows: AsyncIterable<R>): Promise<R[]> {
  const all: R[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

const upTo = (n: number) =>
  IterableDataset.fromGenerator(function* () {
    for (let i = 0; i < n; i++) yield i;
  });

describe("IterableDataset", () => {
  it("maps, filters, takes and skips without reading ahead", async () => {
    let made = 0;
    const endless = IterableDataset.fromGenerator(async function* () {
      for (;;) yield made++;
    });
    const rows = endless
      .filter((i) => i % 2 === 0)
      .map(async (i) => i * 10)
      .skip(1)
      .take(3);
    expect(await collect(rows)).toEqual([20, 40, 60]);
    expect(made).toBe(7);
  });

  it("opens the stream anew for each epoch and tells its number", async () => {
    const stream = IterableDataset.fromGenerator((epoch) => [epoch, epoch + 10]);
    expect(await collect(stream.epoch(0))).toEqual([0, 10]);
    expect(await collect(stream.epoch(3))).toEqual([3, 13]);
    expect(await (await stream.toDataset()).toArray()).toEqual([0, 10]);
  });

  it("shuffles within its buffer, by seed and epoch", async () => {
    const shuffled = upTo(100).shuffle(1, 10);
    const first = await collect(shuffled.epoch(0));
    expect([...first].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    // A row leaves only once the row ten places later has come in.
    first.forEach((row, place) => expect(row).toBeLessThanOrEqual(place + 10));
    expect(first).not.toEqual(await collect(upTo(100)));
    expect(await collect(shuffled.epoch(0))).toEqual(first);
    expect(await collect(shuffled.epoch(1))).not.toEqual(first);
    expect(await collect(upTo(100).shuffle(2, 10))).not.toEqual(first);
  });

  it("names the row of the original stream at which a function failed", async () => {
    const stream = IterableDataset.fromGenerator(() => [1, 2, 3], { name: "numbers" });
    const failing = stream
      .filter((i) => i > 1)
      .map((i) => {
        if (i === 3) throw new Error("three");
        return i;
      });
    await expect(collect(failing)).rejects.toThrow(
      "numbers, row 2: the function given to map failed: three.",
    );
  });

  it("refuses a buffer of nothing", () => {
    expect(() => upTo(3).shuffle(1, 0)).toThrow("bufferSize = 0: must be an integer of at least 1");
  });
});
