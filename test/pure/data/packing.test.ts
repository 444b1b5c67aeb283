/** @file Packing against TRL's pack_dataset and collator (parity/packing.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  DataCollatorForLanguageModeling,
  Dataset,
  labelPositions,
  packDataset,
  packingStrategies,
  planPacking,
  prepareSftDataset,
  type PackingStrategy,
} from "../../../src/data/index.js";

interface Fixture {
  readonly plans: readonly {
    readonly lengths: readonly number[];
    readonly max_length: number;
    readonly packed: Readonly<Record<PackingStrategy, readonly (readonly (readonly number[])[])[]>>;
  }[];
  readonly batch: {
    readonly rows: readonly { readonly input_ids: number[]; readonly labels: number[] }[];
    readonly max_length: number;
    readonly collated: Readonly<Record<"input_ids" | "labels" | "position_ids", readonly number[]>>;
  };
}
const path = join(import.meta.dirname, "../../fixtures/data/packing.json");
const { plans, batch } = JSON.parse(readFileSync(path, "utf8")) as Fixture;

describe("planPacking", () => {
  const cases = plans.flatMap((plan) => packingStrategies.map((strategy) => ({ ...plan, strategy })));
  it.each(cases)("packs $lengths.length rows into $max_length by $strategy as TRL does", (one) => {
    // Where each row begins: TRL's tokens are numbered through, with a gap after each row.
    const starts: number[] = [];
    let next = 0;
    for (const length of one.lengths) {
      starts.push(next);
      next += length + 1;
    }
    const planned = planPacking(one.lengths, one.max_length, one.strategy);
    const runs = planned.map((pieces) => pieces.map(({ row, from, to }) => [starts[row]! + from, to - from]));
    expect(runs).toEqual(one.packed[one.strategy]);
  });

  it("refuses a length without room", () => {
    expect(() => planPacking([1], 0, "bfd")).toThrow("maxLength = 0: must be an integer of at least 1");
  });
});

/** The batch of all packed rows. */
async function packed(strategy: PackingStrategy, maxLength: number, options: object) {
  const prepared = await prepareSftDataset(Dataset.fromArray(batch.rows, { name: "train" }), undefined);
  const { dataset } = await packDataset(prepared, { maxLength, strategy });
  return new DataCollatorForLanguageModeling(options).collate(await dataset.toArray());
}

describe("a packed batch", () => {
  it("holds what TRL's padding-free collator makes of it", async () => {
    const { collated, max_length: maxLength } = batch;
    const flat = await packed("bfd", maxLength, { paddingFree: true, padToMultipleOf: 1 });
    expect(flat.shape).toEqual([1, collated.input_ids.length]);
    expect([...flat.inputIds]).toEqual(collated.input_ids);
    // TRL takes the label off the first token of each document; here it has none to be predicted from.
    const { index, target, count } = labelPositions(flat);
    const expected = collated.labels.flatMap((label, at) =>
      at > 0 && label !== -100 ? [[at - 1, label]] : [],
    );
    expect(Array.from({ length: count }, (_, i) => [index[i], target[i]])).toEqual(expected);
    const starts = [...flat.documents!].map((number, at) => number !== flat.documents![at - 1]);
    expect(starts).toEqual(collated.position_ids.map((position) => position === 0));
  });

  it("numbers documents row by row, and predicts none from another", async () => {
    const rows = [
      { input_ids: [1, 2, 3, 4, 5], seq_lengths: [2, 3] },
      { input_ids: [6, 7], labels: [-100, 7] },
    ];
    const collate = (options: object) => new DataCollatorForLanguageModeling(options).collate(rows);
    const padded = collate({ padToMultipleOf: 6 });
    expect([...padded.documents!]).toEqual([0, 0, 1, 1, 1, -1, 0, 0, -1, -1, -1, -1]);
    expect([...labelPositions(padded).index.slice(0, 4)]).toEqual([0, 2, 3, 6]);
    const left = collate({ padToMultipleOf: 6, paddingSide: "left" });
    expect([...left.documents!.slice(0, 6)]).toEqual([-1, 0, 0, 1, 1, 1]);
    const flat = collate({ paddingFree: true, padToMultipleOf: 4, maxLength: 5 });
    expect(flat.shape).toEqual([1, 8]);
    expect([...flat.documents!]).toEqual([0, 0, 1, 1, 1, 2, 2, -1]);
    expect([...labelPositions(flat).target.slice(0, 4)]).toEqual([2, 4, 5, 7]);
    expect(() =>
      new DataCollatorForLanguageModeling().collate([{ input_ids: [1, 2], seq_lengths: [1, 2] }], ["row 4"]),
    ).toThrow("row 4, column seq_lengths = [1,2]: says that there are 3 tokens, and input_ids has 2");
  });

  it("keeps masks, and names the rows that it is made of", async () => {
    const rows = [
      { input_ids: [1, 2, 3], attention_mask: [1, 0, 1] },
      { input_ids: [4, 5] },
      { input_ids: [6, 7, 8, 9] },
    ];
    const prepared = await prepareSftDataset(Dataset.fromArray(rows, { name: "train" }), undefined);
    const { dataset, lengths, report } = await packDataset(prepared, { maxLength: 5, strategy: "bfd" });
    expect([...lengths]).toEqual([4, 5]);
    expect(report).toMatchObject({ rows: 3, kept: 3, tokens: 9 });
    expect(await dataset.row(1)).toEqual({
      input_ids: Int32Array.of(1, 2, 3, 4, 5),
      labels: Int32Array.of(1, -100, 3, 4, 5),
      attention_mask: Int32Array.of(1, 0, 1, 1, 1),
      seq_lengths: Int32Array.of(3, 2),
    });
    expect([dataset.where(0), dataset.where(1)]).toEqual(["train, row 2", "train, row 0 and 1 more"]);
  });

  it("leaves out packed rows in which no token is to be predicted", async () => {
    const rows = [{ input_ids: [1, 2, 3, 4, 5, 6], labels: [-100, -100, -100, -100, -100, 6] }];
    const prepared = await prepareSftDataset(Dataset.fromArray(rows), undefined);
    const split = await packDataset(prepared, { maxLength: 3, strategy: "bfd_split" });
    expect([split.dataset.length, split.unsupervised]).toEqual([1, 1]);
    expect([...(await split.dataset.row(0)).input_ids]).toEqual([4, 5, 6]);
    await expect(packDataset(prepared, { maxLength: 5, strategy: "wrapped" })).rejects.toThrow(
      "no packed row has a token to predict once its rows are cut to maxLength = 5",
    );
  });
});
