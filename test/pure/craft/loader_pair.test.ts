/** @file Windows of two loaders that the user brings. */
import { describe, expect, it } from "vitest";
import { CRAFTCollator, type PairBatch } from "../../../src/craft/data/collator.js";
import { CRAFTLoaderPair } from "../../../src/craft/data/loader_pair.js";
import { DataLoader, type Loader, type LoaderState } from "../../../src/data/loader.js";
import { Dataset } from "../../../src/data/dataset.js";

/** Batches that say their epoch and their number. */
class Counting implements Loader<string> {
  readonly length: number;
  #state: LoaderState = { epoch: 0, position: 0 };

  constructor(length: number) {
    this.length = length;
  }

  state(): LoaderState {
    return this.#state;
  }

  restore(state: LoaderState): void {
    this.#state = state;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    const { epoch, position } = this.#state;
    for (let i = position; i < this.length; i++) yield await Promise.resolve(`${epoch}.${i}`);
  }
}

/** Three batches of two pairs; pair i begins with the token i. */
const pairs = (seed = 1) =>
  new DataLoader({
    dataset: Dataset.fromArray(
      Array.from({ length: 6 }, (_, i) => ({ input_ids: [i], input_ids_tgt: [i, 9] })),
      { name: "pairs" },
    ),
    batchSize: 2,
    collate: new CRAFTCollator({ padToMultipleOf: 1, padTogether: false }).collatePairs,
    seed,
  });

async function windows(loader: CRAFTLoaderPair<string>): Promise<string[]> {
  const told: string[] = [];
  for await (const window of loader) {
    told.push(
      window
        .map((micro) =>
          micro.objective === "sft"
            ? `s${micro.batch as string}`
            : `c${[...(micro.batch as PairBatch).anchor.inputIds].join()}`,
        )
        .join(" "),
    );
  }
  return told;
}

const options = (sft = 5) => ({
  sft: new Counting(sft),
  contrastive: pairs(),
  gradientAccumulationSteps: 2,
  beta: 0.5,
});

describe("CRAFTLoaderPair", () => {
  it("mixes as datasets are mixed: an epoch takes each SFT batch once, and goes on with the pairs in a new order", async () => {
    const loader = new CRAFTLoaderPair(options());
    expect([loader.length, loader.stepsPerEpoch, loader.beta]).toEqual([10, 5, 0.5]);
    const own = pairs();
    const expected: string[] = [];
    for (let pass = 0; pass < 4; pass++)
      for await (const batch of own) expected.push(`c${[...batch.anchor.inputIds].join()}`);
    const first = await windows(loader);
    expect(first).toEqual([0, 1, 2, 3, 4].map((i) => `s0.${i} ${expected[i]}`));
    expect(await windows(loader)).toEqual([0, 1, 2, 3, 4].map((i) => `s1.${i} ${expected[5 + i]}`));
    expect(loader.state()).toEqual({ epoch: 2, position: 0 });
  });

  it("goes on from any place with what would have come", async () => {
    const whole = new CRAFTLoaderPair(options());
    const all = [...(await windows(whole)), ...(await windows(whole))];
    for (const [epoch, position] of [
      [0, 3],
      [1, 0],
      [1, 4],
    ] as const) {
      const resumed = new CRAFTLoaderPair(options());
      resumed.restore({ epoch, position });
      expect(await windows(resumed)).toEqual(all.slice(epoch * 5 + position, (epoch + 1) * 5));
    }
  });

  it("begins the pairs anew in each epoch under cap, and takes beta from the lengths when told to", async () => {
    const notices: string[] = [];
    const capped = new CRAFTLoaderPair({
      ...options(),
      lengthStrategy: "cap",
      onNotice: (notice) => notices.push(notice),
    });
    expect(capped.stepsPerEpoch).toBe(3);
    expect(notices).toEqual(["lengthStrategy = cap: each epoch leaves out 2 of 5 SFT batches"]);
    await windows(capped);
    expect((await windows(capped))[0]).toMatch(/^s1\.0 /);
    expect(new CRAFTLoaderPair({ ...options(), betaMode: "auto" }).beta).toBe(5 / 8);
    expect(() => new CRAFTLoaderPair({ ...options(), lengthStrategy: "error" })).toThrow(
      "there are 5 SFT batches and 3 contrastive batches",
    );
  });

  it("refuses loaders without a length or with a wrong one, and batches that hold no pairs", async () => {
    const endless = Object.assign(new Counting(1), { length: undefined });
    expect(() => new CRAFTLoaderPair({ ...options(), sft: endless })).toThrow(
      "SFT loader = without a length: must say in `length`",
    );
    const ends = {
      ...options(),
      sft: Object.assign(new Counting(4), {
        [Symbol.asyncIterator]: () => new Counting(2)[Symbol.asyncIterator](),
      }),
    };
    await expect(windows(new CRAFTLoaderPair(ends))).rejects.toThrow(
      "SFT loader: ended its epoch after 2 batches, and its length is 4.",
    );
    const plain = new DataLoader({
      dataset: Dataset.fromArray([{ input_ids: [1, 2] }]),
      batchSize: 1,
      collate: new CRAFTCollator().collateSft,
    });
    const wrong = { ...options(), contrastive: plain as unknown as Loader<PairBatch> };
    await expect(windows(new CRAFTLoaderPair(wrong))).rejects.toThrow(
      "contrastive loader: gave a batch that holds no pairs: it has ",
    );
  });
});
