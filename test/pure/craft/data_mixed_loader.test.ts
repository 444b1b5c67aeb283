import { describe, expect, it } from "vitest";
import { makeCraftDatasets } from "../../../src/craft/data/bundle.js";
import { CRAFTCollator } from "../../../src/craft/data/collator.js";
import {
  CRAFTMixedDataLoader,
  type CRAFTMixedDataLoaderOptions,
} from "../../../src/craft/data/mixed_loader.js";
import type { LanguageModelingBatch } from "../../../src/data/collator.js";
import { Dataset } from "../../../src/data/dataset.js";
import { DataLoader, type LoaderState } from "../../../src/data/loader.js";
import { SingleObjectiveLoader } from "../../../src/data/windows.js";

interface SftRow {
  readonly input_ids: number[];
  readonly labels: number[];
}
interface Pair {
  readonly input_ids: number[];
  readonly input_ids_tgt: number[];
}
type Options = CRAFTMixedDataLoaderOptions<SftRow, Pair, LanguageModelingBatch>;

const sftRows = (n: number): SftRow[] =>
  Array.from({ length: n }, (_, i) => ({ input_ids: [i, i + 100], labels: [-100, i + 100] }));
const pairRows = (n: number): Pair[] =>
  Array.from({ length: n }, (_, i) => ({ input_ids: [i, 8], input_ids_tgt: [i, 9] }));

type Given = Omit<Partial<Options>, "bundle" | "collateSft"> & {
  readonly sft: number;
  readonly pairs?: number;
};

function loaderOf({ sft, pairs, ...options }: Given): CRAFTMixedDataLoader<SftRow, Pair> {
  const collator = options.collator ?? new CRAFTCollator();
  const bundle =
    pairs === undefined
      ? makeCraftDatasets<SftRow, Pair>(sftRows(sft))
      : makeCraftDatasets(sftRows(sft), { contrastiveDataset: pairRows(pairs) });
  return new CRAFTMixedDataLoader({
    bundle,
    collateSft: collator.collateSft,
    batchSize: 2,
    gradientAccumulationSteps: 4,
    seed: 5,
    ...options,
    collator,
  });
}

/** A window as text: the objective's first letter and the rows of each micro-batch, such as "s0,1 s2,3 c4,5". */
type Told = string[];

async function epochOf(loader: CRAFTMixedDataLoader<SftRow, Pair>): Promise<Told> {
  const told: Told = [];
  for await (const window of loader) {
    const batches = window.map((micro) => {
      const tokens = micro.objective === "contrastive" ? micro.batch.anchor : micro.batch;
      const rows = Array.from({ length: tokens.shape[0] }, (_, i) => tokens.inputIds[i * tokens.shape[1]]);
      return `${micro.objective === "self_align" ? "b" : micro.objective[0]}${rows.join()}`;
    });
    told.push(batches.join(" "));
  }
  return told;
}

/** The rows that batches of the given kinds held, in order of their coming. */
function rowsOf(told: Told, kinds: string): number[] {
  return told
    .flatMap((window) => window.split(" "))
    .filter((batch) => kinds.includes(batch[0]!))
    .flatMap((batch) => batch.slice(1).split(",").map(Number));
}

const shapes = (told: Told) => told.map((window) => window.replace(/[^sbc]/g, ""));
const sorted = (rows: readonly number[]) => [...rows].sort((a, b) => a - b);
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

describe("CRAFTMixedDataLoader, paired dataset", () => {
  it("gives windows of SFT, then contrastive batches, in the rows' order when not shuffled", async () => {
    const loader = loaderOf({ sft: 9, pairs: 5, beta: 0.75, shuffle: false });
    // SFT batches 01 23 45 67 8; contrastive 01 234, since 4 alone would have no negative; three, then two SFT.
    expect(await epochOf(loader)).toEqual(["s0,1 s2,3 s4,5 c0,1", "s6,7 s8 c2,3,4"]);
    expect([loader.stepsPerEpoch, loader.length]).toEqual([2, 7]);
  });

  it("gives the pair of each contrastive row", async () => {
    for await (const window of loaderOf({ sft: 4, pairs: 6, beta: 0.5 })) {
      for (const micro of window) {
        if (micro.objective !== "contrastive") continue;
        const { anchor, positive } = micro.batch;
        const at = (side: Int32Array, column: number) =>
          upTo(2).map((row) => side[row * anchor.shape[1] + column]);
        expect(at(positive.inputIds, 0)).toEqual(at(anchor.inputIds, 0));
        expect([at(anchor.inputIds, 1), at(positive.inputIds, 1)]).toEqual([
          [8, 8],
          [9, 9],
        ]);
      }
    }
  });

  it.each([
    { sft: 23, pairs: 9, beta: 0.6, gradientAccumulationSteps: 5 },
    { sft: 23, pairs: 90, beta: 0.5, gradientAccumulationSteps: 4 },
    { sft: 7, pairs: 100, beta: 0.25, gradientAccumulationSteps: 8, lengthStrategy: "auto_beta" as const },
    { sft: 40, pairs: 6, betaMode: "auto" as const, gradientAccumulationSteps: 3 },
    { sft: 12, pairs: 12, beta: 0.5, gradientAccumulationSteps: 1, lengthStrategy: "error" as const },
  ])("visits each SFT row once an epoch, in a new order: %j", async (options) => {
    const loader = loaderOf(options);
    const orders: string[] = [];
    for (let epoch = 0; epoch < 4; epoch++) {
      const told = await epochOf(loader);
      expect(told.length).toBe(loader.stepsPerEpoch);
      expect(told.flatMap((window) => window.split(" ")).length).toBe(loader.length);
      expect(told.every((window) => /s.* c/.test(window))).toBe(true);
      orders.push(rowsOf(told, "s").join());
      expect(sorted(rowsOf(told, "s"))).toEqual(upTo(options.sft));
    }
    expect(new Set(orders).size).toBe(4);
  });

  it("has the SFT rows in the order of a plain SFT run of the same seed", async () => {
    const mixed = loaderOf({ sft: 11, pairs: 6, beta: 0.5 });
    const collator = new CRAFTCollator();
    const plain = new SingleObjectiveLoader(
      new DataLoader({
        dataset: Dataset.fromArray(sftRows(11)),
        batchSize: 2,
        collate: collator.collateSft,
        seed: 5,
      }),
      { gradientAccumulationSteps: 2, objective: "sft" },
    );
    const rows: number[] = [];
    for await (const window of plain) {
      for (const { batch } of window)
        rows.push(...upTo(batch.shape[0]).map((i) => batch.inputIds[i * batch.shape[1]]!));
    }
    expect(rowsOf(await epochOf(mixed), "s")).toEqual(rows);
  });

  it("oversample: goes on with a long contrastive dataset until each pair was seen, then begins anew", async () => {
    // 3 windows of 2 + 2 an epoch take 6 of 15 contrastive batches: after five epochs each was seen twice.
    const loader = loaderOf({ sft: 12, pairs: 30, beta: 0.5 });
    const seen: number[] = [];
    for (let epoch = 0; epoch < 5; epoch++) seen.push(...rowsOf(await epochOf(loader), "c"));
    expect(sorted(seen.slice(0, 30))).toEqual(upTo(30));
    expect(sorted(seen.slice(30))).toEqual(upTo(30));
    expect(seen.slice(0, 30)).not.toEqual(seen.slice(30));
  });

  it("oversample: goes through a short contrastive dataset again, in a new order", async () => {
    // 20 SFT batches, 2 a window: 10 windows take 20 contrastive batches, and 5 make one pass.
    const seen = rowsOf(await epochOf(loaderOf({ sft: 40, pairs: 10, beta: 0.5 })), "c");
    const passes = upTo(4).map((pass) => seen.slice(pass * 10, (pass + 1) * 10));
    for (const pass of passes) expect(sorted(pass)).toEqual(upTo(10));
    expect(new Set(passes.map((pass) => pass.join())).size).toBe(4);
  });

  it("cap: stops when either kind ends, begins both anew, and says what is left out", async () => {
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    const short = loaderOf({ sft: 40, pairs: 8, beta: 0.75, lengthStrategy: "cap", onNotice });
    const [first, second] = [await epochOf(short), await epochOf(short)];
    expect(shapes(first)).toEqual(["sssc", "sssc", "sssc", "sssc"]);
    for (const told of [first, second]) expect(sorted(rowsOf(told, "c"))).toEqual(upTo(8));
    expect(second).not.toEqual(first);
    const long = loaderOf({ sft: 8, pairs: 40, beta: 0.5, lengthStrategy: "cap", onNotice });
    const told = await epochOf(long);
    expect(shapes(told)).toEqual(["sscc", "sscc"]);
    expect(sorted(rowsOf(told, "s"))).toEqual(upTo(8));
    expect(notices).toEqual([
      "lengthStrategy = cap: each epoch leaves out 8 of 20 SFT batches",
      "lengthStrategy = cap: each epoch leaves out 16 of 20 contrastive batches",
    ]);
  });

  it("auto_beta: both kinds end together", async () => {
    const loader = loaderOf({
      sft: 12,
      pairs: 8,
      beta: 0.1,
      gradientAccumulationSteps: 5,
      lengthStrategy: "auto_beta",
    });
    const told = await epochOf(loader);
    expect(shapes(told)).toEqual(["ssscc", "ssscc"]);
    expect([sorted(rowsOf(told, "s")), sorted(rowsOf(told, "c"))]).toEqual([upTo(12), upTo(8)]);
    expect(loader.beta).toBe(0.6);
  });

  it("error: names both counts", () => {
    expect(() => loaderOf({ sft: 40, pairs: 8, lengthStrategy: "error" })).toThrow(
      "there are 20 SFT batches and 4 contrastive batches",
    );
  });

  it("gives the same windows after resuming, from any place, across epochs", async () => {
    const options = { sft: 13, pairs: 9, beta: 0.6, gradientAccumulationSteps: 3 };
    const through = loaderOf(options);
    const all: Told = [];
    for (let epoch = 0; epoch < 3; epoch++) all.push(...(await epochOf(through)));
    const steps = through.stepsPerEpoch;
    // 7 SFT batches, 2 to a window.
    expect(steps).toBe(4);
    for (let stop = 1; stop < 2 * steps; stop++) {
      const killed = loaderOf(options);
      let taken = 0;
      while (taken < stop) {
        for await (const _ of killed) if (++taken === stop) break;
      }
      const state = JSON.parse(JSON.stringify(killed.state())) as LoaderState;
      expect(state).toEqual({ epoch: Math.floor(stop / steps), position: stop % steps });
      const resumed = loaderOf(options);
      resumed.restore(state);
      const rest: Told = [];
      while (rest.length < 3 * steps - stop) rest.push(...(await epochOf(resumed)));
      expect(rest).toEqual(all.slice(stop));
    }
  });

  it("joins a last pair to the batch before, says so, and drops none", async () => {
    const notices: string[] = [];
    const loader = loaderOf({
      sft: 8,
      pairs: 9,
      contrastiveBatchSize: 4,
      beta: 0.5,
      gradientAccumulationSteps: 2,
      onNotice: (notice) => notices.push(notice),
    });
    expect(notices).toEqual(["the last contrastive batch has 5 pairs: one alone would have no negative"]);
    const seen = rowsOf(await epochOf(loader), "c");
    // 4 windows take 4 batches, of 4, 5, 4 and 5 pairs: two passes.
    expect([sorted(seen.slice(0, 9)), sorted(seen.slice(9))]).toEqual([upTo(9), upTo(9)]);
  });

  it("refuses contrastive batches without negatives, where there are contrastive batches", async () => {
    expect(() => loaderOf({ sft: 4, pairs: 4, batchSize: 1 })).toThrow(
      "contrastiveBatchSize = 1: a contrastive batch of one pair has no negatives, so there is nothing to contrast. Use 2 or more.",
    );
    expect(() => loaderOf({ sft: 4, pairs: 1 })).toThrow(
      "contrastiveDataset: 1 pair has no negatives, so there is nothing to contrast. Give two pairs or more.",
    );
    expect(shapes(await epochOf(loaderOf({ sft: 4, pairs: 1, batchSize: 1, beta: 1 })))).toEqual(["ssss"]);
    const queue = loaderOf({
      sft: 4,
      pairs: 3,
      batchSize: 1,
      beta: 0.5,
      collator: new CRAFTCollator({ minimumPairs: 1 }),
    });
    expect(shapes(await epochOf(queue))).toEqual(["sscc", "sscc"]);
  });

  it("refuses unknown options and states of other loaders", () => {
    const misspelt = { sft: 4, pairs: 4, craftBeta: 0.5 };
    expect(() => loaderOf(misspelt)).toThrow(
      "CRAFTMixedDataLoader, option craftBeta: there is no such option.",
    );
    expect(() => loaderOf({ sft: 8, pairs: 4 }).restore({ epoch: 0, position: 2 })).toThrow(
      "is no place in epochs of 2",
    );
  });
});

describe("CRAFTMixedDataLoader, self-align", () => {
  it("takes every batch from the SFT rows, each row once, the contrastive share giving both losses", async () => {
    const loader = loaderOf({ sft: 18, beta: 0.75, shuffle: false });
    // Windows of 8 rows; the two that are left are one pair of rows for both losses.
    expect(await epochOf(loader)).toEqual(["s0,1 s2,3 s4,5 b6,7", "s8,9 s10,11 s12,13 b14,15", "b16,17"]);
    expect([loader.stepsPerEpoch, loader.length]).toEqual([3, 9]);
  });

  it("has batches of two sizes, and divides a short window in like proportion", async () => {
    const loader = loaderOf({ sft: 30, beta: 0.5, contrastiveBatchSize: 4, shuffle: false });
    // 12 rows a window, 4 plain and 8 in pairs; of the last 6 rows a third are plain.
    const told = await epochOf(loader);
    expect(told[0]).toBe("s0,1 s2,3 b4,5,6,7 b8,9,10,11");
    expect(told[2]).toBe("s24,25 b26,27,28,29");
    expect(told.length).toBe(3);
  });

  it("lets a last row join the batch before, since alone it would have no negative", async () => {
    const told = await epochOf(loaderOf({ sft: 17, beta: 0.75, shuffle: false }));
    expect(told).toEqual(["s0,1 s2,3 s4,5 b6,7", "s8,9 s10,11 s12,13 b14,15,16"]);
  });

  it("runs both losses on every micro-batch when a step is one micro-batch, and says so", async () => {
    const loader = loaderOf({ sft: 5, beta: 0.6, gradientAccumulationSteps: 1, shuffle: false });
    expect(await epochOf(loader)).toEqual(["b0,1", "b2,3,4"]);
    expect(loader.notices).toEqual([
      "gradientAccumulationSteps = 1: every micro-batch gives both losses, whatever beta is",
    ]);
  });

  it.each([2, 3, 5, 16, 17, 23, 24, 25, 31])(
    "visits each of %i rows once, whatever the tail",
    async (sft) => {
      for (const beta of [0, 0.3, 0.75, 1]) {
        for (const contrastiveBatchSize of [2, 3, 8]) {
          const loader = loaderOf({ sft, beta, contrastiveBatchSize });
          const [first, second] = [await epochOf(loader), await epochOf(loader)];
          for (const told of [first, second]) {
            expect(told.length).toBe(loader.stepsPerEpoch);
            expect(told.flatMap((window) => window.split(" ")).length).toBe(loader.length);
            expect(sorted(rowsOf(told, "sb"))).toEqual(upTo(sft));
            expect(told.every((window) => window.split(" ").length <= 4)).toBe(true);
            if (beta < 1) expect(told.every((window) => window.includes("b"))).toBe(true);
            expect(
              told
                .flatMap((window) => window.split(" "))
                .every((batch) => batch[0] === "s" || batch.includes(",")),
            ).toBe(true);
          }
          if (sft > 5) expect(second).not.toEqual(first);
        }
      }
    },
  );

  it("refuses one row, and batches of one row", () => {
    expect(() => loaderOf({ sft: 1 })).toThrow("rows = 1: at least 2 are needed for a batch");
    expect(() => loaderOf({ sft: 8, batchSize: 1 })).toThrow("contrastiveBatchSize = 1");
  });
});
