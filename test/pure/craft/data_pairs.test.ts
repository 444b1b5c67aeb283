import { describe, expect, it } from "vitest";
import { CRAFTCollator } from "../../../src/craft/data/collator.js";
import { preparePairs, type PairOptions } from "../../../src/craft/data/pairs.js";
import type { RowTokenizer } from "../../../src/data/row_tokenizer.js";
import { Dataset } from "../../../src/data/dataset.js";

/** One token for each letter, 1 in front: ids are character codes. */
const letters: RowTokenizer = {
  eosToken: "$",
  eosTokenId: 36,
  encode: (text) => [1, ...[...text].map((letter) => letter.charCodeAt(0))],
  applyChatTemplate: () => {
    throw new Error("pairs are no conversations");
  },
};

const prepare = (
  rows: readonly object[],
  options?: PairOptions,
  tokenizer: RowTokenizer | undefined = letters,
) => preparePairs(Dataset.fromArray(rows, { name: "pairs.jsonl" }), tokenizer, options);

const columns = { anchor: "en", positive: "es" };

describe("preparePairs", () => {
  it("tokenises two columns of text and ends them", async () => {
    const { dataset, lengths, report } = await prepare(
      [
        { en: "ab", es: "c" },
        { en: "d", es: "efg$" },
      ],
      { columns },
    );
    expect(await dataset.toArray()).toEqual([
      { input_ids: Int32Array.of(1, 97, 98, 36), input_ids_tgt: Int32Array.of(1, 99, 36) },
      { input_ids: Int32Array.of(1, 100, 36), input_ids_tgt: Int32Array.of(1, 101, 102, 103, 36) },
    ]);
    expect([...lengths]).toEqual([4, 5]);
    expect(report.notes).toEqual([]);
  });

  it("cuts texts so that their end stays, and can leave the end out", async () => {
    const rows = [{ anchor: "abcd", positive: "e" }];
    const { dataset, report } = await prepare(rows, { maxLength: 4 });
    expect((await dataset.row(0)).input_ids).toEqual(Int32Array.of(1, 97, 98, 36));
    expect(report.notes).toEqual([{ kind: "truncated", count: 1, first: "pairs.jsonl, row 0" }]);
    const open = await prepare(rows, { appendEos: false });
    expect((await open.dataset.row(0)).input_ids).toEqual(Int32Array.of(1, 97, 98, 99, 100));
  });

  it("takes tokenised rows as they are, without what is masked", async () => {
    const { dataset } = await prepare(
      [
        { input_ids: [0, 5, 6], attention_mask: [0, 1, 1], input_ids_tgt: [7] },
        { input_ids: [5], input_ids_tgt: [8, 9, 0], attention_mask_tgt: [1, 1, 0] },
      ],
      {},
      undefined,
    );
    const pairs = await dataset.toArray();
    expect(pairs).toEqual([
      { input_ids: Int32Array.of(5, 6), input_ids_tgt: Int32Array.of(7) },
      { input_ids: Int32Array.of(5), input_ids_tgt: Int32Array.of(8, 9) },
    ]);
    expect(new CRAFTCollator({ padToMultipleOf: 1 }).collatePairs(pairs).positive.inputIds).toEqual(
      Int32Array.of(7, 0, 8, 9),
    );
  });

  it("gives pairs with the same positive side one group", async () => {
    const rows = ["x", "y", "x", "z"].map((es, i) => ({ en: "abcd"[i], es }));
    const { groups } = await prepare(rows, { columns });
    expect(groups[0]).toBe(groups[2]);
    expect(new Set(groups).size).toBe(3);
  });

  it.each<[string, object, PairOptions, string]>([
    [
      "missing columns",
      { en: "a" },
      { columns: { anchor: "english", positive: "es" } },
      'pairs.jsonl, row 0: has no column "english", "es"; its columns are "en".',
    ],
    [
      "columns of neither kind",
      { en: "a", es: "b" },
      {},
      'has no column "input_ids", "input_ids_tgt"; its columns are "en", "es". Name the columns',
    ],
    ["a missing side of tokens", { input_ids: [1] }, {}, 'has no column "input_ids_tgt"'],
    [
      "an empty side",
      { en: "a", es: "" },
      { columns },
      "pairs.jsonl, row 0: the pair has an empty side: column es. Mend or remove",
    ],
    ["a side of no tokens", { input_ids: [], input_ids_tgt: [] }, {}, "column input_ids, input_ids_tgt"],
    [
      "a side that is no text",
      { en: "a", es: 5 },
      { columns },
      "pairs.jsonl, row 0, column es = 5: must be text.",
    ],
    [
      "one column for both sides",
      { en: "a" },
      { columns: { anchor: "en", positive: "en" } },
      "must name two different columns",
    ],
  ])("refuses %s", async (_, row, options, message) => {
    await expect(prepare([row], options)).rejects.toThrow(message);
  });

  it("leaves out pairs with an empty side when told to, and counts them", async () => {
    const { dataset, report } = await prepare(
      [
        { en: "", es: "b" },
        { en: "a", es: "b" },
      ],
      { columns, onBadRow: "drop" },
    );
    expect(dataset.length).toBe(1);
    expect(report.notes).toEqual([{ kind: "dropped_empty", count: 1, first: "pairs.jsonl, row 0" }]);
  });

  it("refuses text without a tokenizer and misspelt options", async () => {
    const raw = Dataset.fromArray([{ anchor: "a", positive: "b" }]);
    await expect(preparePairs(raw, undefined)).rejects.toThrow("the pair is text and there is no tokenizer");
    const misspelt = { columns: { ...columns, negative: "fr" } };
    await expect(prepare([{ en: "a", es: "b" }], misspelt)).rejects.toThrow(
      "option columns, option negative: there is no such option",
    );
  });
});
