/** @file Hard negatives in rows of tokens and of text, and in batches. */
import { describe, expect, it } from "vitest";
import { CRAFTCollator } from "../../../src/craft/data/collator.js";
import { preparePairs, type PairOptions } from "../../../src/craft/data/pairs.js";
import { textHash } from "../../../src/craft/data/text_hash.js";
import { requireNegatives } from "../../../src/craft/losses/duplicates.js";
import { Dataset } from "../../../src/data/dataset.js";
import type { RowTokenizer } from "../../../src/data/row_tokenizer.js";

/** One token for each letter: ids are character codes. */
const letters: RowTokenizer = {
  eosToken: "$",
  eosTokenId: 36,
  encode: (text) => [...text].map((letter) => letter.charCodeAt(0)),
  applyChatTemplate: () => {
    throw new Error("pairs are no conversations");
  },
};
const prepare = (rows: readonly object[], options: PairOptions = {}) =>
  preparePairs(Dataset.fromArray(rows, { name: "pairs" }), letters, { appendEos: false, ...options });

const row = (anchor: number, rest: object = {}) => ({
  input_ids: [anchor, 1],
  input_ids_tgt: [anchor, 2],
  ...rest,
});

describe("a batch", () => {
  it("has the negatives of all rows one after the other, with the row that each came with", () => {
    const batch = new CRAFTCollator({ padToMultipleOf: 1 }).collatePairs([
      row(5, { input_ids_neg: [[7, 8, 9], [6]] }),
      row(6),
      row(7, { input_ids_neg: [4, 3], attention_mask_neg: [1, 0] }),
    ]);
    expect(batch.negative).toEqual({
      shape: [3, 3],
      inputIds: Int32Array.of(7, 8, 9, 6, 0, 0, 4, 3, 0),
      attentionMask: Int32Array.of(1, 1, 1, 1, 0, 0, 1, 0, 0),
      hash: Int32Array.of(textHash([7, 8, 9]), textHash([6]), textHash([4])),
      owner: Int32Array.of(0, 0, 2),
    });
    // All sides have one length, so that they can be stacked.
    expect(batch.anchor.shape).toEqual([3, 3]);
    expect(new CRAFTCollator().collatePairs([row(5), row(6)])).not.toHaveProperty("negative");
  });

  it("may be one pair, or pairs with one positive, where there are negatives", () => {
    const collator = new CRAFTCollator();
    expect(collator.collatePairs([row(5, { input_ids_neg: [9] })]).anchor.shape[0]).toBe(1);
    const same = [1, 2].map((anchor) => ({ input_ids: [anchor], input_ids_tgt: [3], input_ids_neg: [9] }));
    expect(() => collator.collatePairs(same)).not.toThrow();
    expect(() => collator.collatePairs([row(5, { input_ids_neg: [] })])).toThrow(
      "a batch of 1 pair has no negatives",
    );
  });

  it("names a negative that is empty or masked out, and masks that do not fit", () => {
    const collate = (rest: object) => () => new CRAFTCollator().collatePairs([row(5, rest), row(6)]);
    expect(collate({ input_ids_neg: [[7], []] })).toThrow(
      "batch, row 0, negative 1, column input_ids_neg: the row is empty",
    );
    expect(collate({ input_ids_neg: [7, 8], attention_mask_neg: [0, 0] })).toThrow("no position is 1");
    expect(collate({ input_ids_neg: [[7], [8]], attention_mask_neg: [[1]] })).toThrow(
      "batch, row 0, column attention_mask_neg: must hold a list for each of the 2 in input_ids_neg.",
    );
  });

  it("has a negative on the host's rule too, if one differs from a pair's texts", () => {
    const hashes = { anchorHash: Int32Array.of(1), positiveHash: Int32Array.of(2) };
    expect(() => requireNegatives({ ...hashes, negativeHash: Int32Array.of(1, 2) })).toThrow(
      "a batch of 1 pair",
    );
    expect(() => requireNegatives({ ...hashes, negativeHash: Int32Array.of(1, 3) })).not.toThrow();
  });
});

describe("preparePairs", () => {
  it("tokenises columns of texts or of lists of texts; a row may lack them", async () => {
    const columns = { anchor: "en", positive: "es", negatives: ["wrong", "others"] };
    const { dataset, lengths, negatives } = await prepare(
      [
        { en: "a", es: "b", wrong: "cd", others: ["e", "fgh"] },
        { en: "a", es: "b", wrong: null },
      ],
      { columns },
    );
    expect(await dataset.toArray()).toEqual([
      {
        input_ids: Int32Array.of(97),
        input_ids_tgt: Int32Array.of(98),
        input_ids_neg: [Int32Array.of(99, 100), Int32Array.of(101), Int32Array.of(102, 103, 104)],
      },
      { input_ids: Int32Array.of(97), input_ids_tgt: Int32Array.of(98) },
    ]);
    expect([...lengths]).toEqual([3, 1]);
    expect(negatives).toEqual({ fewest: 0, most: 3 });
  });

  it("takes tokens in one list or several, under any name, without what is masked, and cuts them", async () => {
    const { dataset, report } = await prepare(
      [
        { ...row(5), no: [[7, 8, 9, 4], [6]], no_mask: [[1, 1, 1, 1], [1]] },
        { ...row(6), no: [7, 8], no_mask: [0, 1] },
      ],
      { keys: { negativeInputIds: "no", negativeAttentionMask: "no_mask" }, maxLength: 3 },
    );
    const rows = await dataset.toArray();
    expect(rows.map(({ input_ids_neg: list }) => list)).toEqual([
      [Int32Array.of(7, 8, 9), Int32Array.of(6)],
      [Int32Array.of(8)],
    ]);
    expect(report.notes).toEqual([{ kind: "truncated", count: 1, first: "pairs, row 0" }]);
  });

  it("refuses columns that no row has, texts that are none and empty texts", async () => {
    const columns = { anchor: "en", positive: "es", negatives: ["no"] };
    const pair = { en: "a", es: "b" };
    await expect(prepare([pair], { columns })).rejects.toThrow(
      "pairs: no row has a text in no, which are to hold hard negatives.",
    );
    await expect(prepare([{ ...pair, no: 5 }], { columns })).rejects.toThrow(
      "pairs, row 0, column no = 5: must be text",
    );
    await expect(prepare([{ ...pair, no: ["c", ""] }], { columns })).rejects.toThrow(
      "a hard negative is empty",
    );
    await expect(prepare([pair], { columns: { ...columns, negatives: ["en"] } })).rejects.toThrow(
      "must name two different columns",
    );
  });
});

describe("a collator with a trainer's settings", () => {
  it("takes over what was left open, and differs in nothing that was said", () => {
    const collator = new CRAFTCollator({ padTokenId: 9, padToMultipleOf: 4 });
    collator.complete({ padTokenId: 3, paddingSide: "left", selfAlignViews: "full_response" });
    expect(collator.collateSft([{ input_ids: [1, 2] }]).inputIds).toEqual(Int32Array.of(9, 9, 1, 2));
    expect(collator.options.selfAlignViews).toBe("full_response");
    const other = new CRAFTCollator({ selfAlignViews: "dropout" });
    expect(() => other.complete({ selfAlignViews: "full_response" })).toThrow(
      'CRAFTCollator, option selfAlignViews = dropout: the trainer\'s options say "full_response".',
    );
    other.complete({ selfAlignViews: "dropout" });
  });
});
