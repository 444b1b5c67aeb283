import { describe, expect, it } from "vitest";
import { CRAFTCollator } from "../../../src/craft/data/collator.js";
import { textHash } from "../../../src/craft/data/text_hash.js";

const pairs = [
  { input_ids: [1, 5], input_ids_tgt: [1, 8, 9, 2] },
  { input_ids: [1, 6, 7], attention_mask: [1, 1, 0], input_ids_tgt: [1, 4], attention_mask_tgt: [1, 1] },
];

describe("textHash", () => {
  it("is MurmurHash3 (x86, 32 bits, seed 0) of the ids as little-endian words", () => {
    // Known answers of that function: "test" (0x74736574) -> ba6bd213; four zero bytes -> 2362f9de.
    expect(textHash([0x74736574]) >>> 0).toBe(0xba6bd213);
    expect(textHash([0]) >>> 0).toBe(0x2362f9de);
  });

  it("depends on masked-in tokens and their order only", () => {
    expect(textHash([1, 2, 9], [1, 1, 0])).toBe(textHash([1, 2]));
    expect(textHash([2, 1])).not.toBe(textHash([1, 2]));
    expect(textHash([0, 1])).not.toBe(textHash([1]));
  });
});

describe("CRAFTCollator, pairs", () => {
  it("pads both sides to one length and makes the masks that are absent", () => {
    const batch = new CRAFTCollator({ padTokenId: 3, padToMultipleOf: 5 }).collatePairs(pairs);
    expect(batch.anchor).toEqual({
      shape: [2, 5],
      inputIds: Int32Array.of(1, 5, 3, 3, 3, 1, 6, 7, 3, 3),
      attentionMask: Int32Array.of(1, 1, 0, 0, 0, 1, 1, 0, 0, 0),
    });
    expect(batch.positive).toEqual({
      shape: [2, 5],
      inputIds: Int32Array.of(1, 8, 9, 2, 3, 1, 4, 3, 3, 3),
      attentionMask: Int32Array.of(1, 1, 1, 1, 0, 1, 1, 0, 0, 0),
    });
    expect(batch.anchorHash).toEqual(Int32Array.of(textHash([1, 5]), textHash([1, 6])));
    expect(batch.positiveHash).toEqual(Int32Array.of(textHash([1, 8, 9, 2]), textHash([1, 4])));
  });

  it("pads each side to its own length, on the left", () => {
    const collator = new CRAFTCollator({ padTogether: false, paddingSide: "left", padToMultipleOf: 1 });
    const { anchor, positive } = collator.collatePairs(pairs);
    expect(anchor).toEqual({
      shape: [2, 3],
      inputIds: Int32Array.of(0, 1, 5, 1, 6, 7),
      attentionMask: Int32Array.of(0, 1, 1, 1, 1, 0),
    });
    expect(positive).toEqual({
      shape: [2, 4],
      inputIds: Int32Array.of(1, 8, 9, 2, 0, 0, 1, 4),
      attentionMask: Int32Array.of(1, 1, 1, 1, 0, 0, 1, 1),
    });
  });

  it("reads other columns", () => {
    const collator = new CRAFTCollator({
      keys: { anchorInputIds: "en", positiveInputIds: "es" },
      padToMultipleOf: 1,
    });
    const { anchor, positive } = collator.collatePairs([
      { en: [1], es: [2] },
      { en: [3], es: [4] },
    ]);
    expect([[...anchor.inputIds], [...positive.inputIds]]).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it("names the missing columns in order, and the row", () => {
    expect(() =>
      new CRAFTCollator().collatePairs([{ text: "a" }, pairs[0]!], ["p.jsonl, line 1", "p.jsonl, line 2"]),
    ).toThrow('p.jsonl, line 1: has no column "input_ids", "input_ids_tgt"; its columns are "text".');
  });

  it("refuses an empty side", () => {
    expect(() =>
      new CRAFTCollator().collatePairs([{ input_ids: [1], input_ids_tgt: [] }, pairs[0]!]),
    ).toThrow("batch, row 0, column input_ids_tgt: the row is empty");
  });

  it("refuses one pair alone, and pairs that all have the same positive side, unless negatives come from elsewhere", () => {
    const collator = new CRAFTCollator();
    expect(() => collator.collatePairs([pairs[0]!], ["pairs, row 4"])).toThrow(
      "contrastive batch of pairs, row 4 = 1: a batch of 1 pair has no negatives, so there is nothing to contrast. " +
        "Use a contrastive batch size of 2 or more.",
    );
    const same = [
      pairs[0]!,
      { ...pairs[1]!, input_ids_tgt: [1, 8, 9, 2, 2], attention_mask_tgt: [1, 1, 1, 1, 0] },
    ];
    expect(() => collator.collatePairs(same)).toThrow(
      "all 2 pairs have the same positive side, so none has a negative",
    );
    const queue = new CRAFTCollator({ minimumPairs: 1 });
    expect(queue.collatePairs([pairs[0]!]).anchor.shape[0]).toBe(1);
    expect(queue.collatePairs(same).anchor.shape[0]).toBe(2);
  });

  it("refuses unknown options, keys and values", () => {
    const option = { padTokenId: 0, padTogther: true };
    expect(() => new CRAFTCollator(option)).toThrow(
      "CRAFTCollator, option padTogther: there is no such option.",
    );
    const keys = { anchorInputIds: "a", positive: "b" };
    expect(() => new CRAFTCollator({ keys })).toThrow("CRAFTCollator, option keys, option positive");
    expect(() => Reflect.construct(CRAFTCollator, [{ selfAlignViews: "same" }]) as unknown).toThrow(
      'selfAlignViews = same: must be one of "prompt_response", "dropout", "full_response".',
    );
  });

  it("tells pairs and rows for language modelling apart", () => {
    const collator = new CRAFTCollator({ padToMultipleOf: 1 });
    expect(collator.collate(pairs)).toHaveProperty("positive");
    expect(collator.collate([{ input_ids: [1, 2] }])).toEqual({
      shape: [1, 2],
      inputIds: Int32Array.of(1, 2),
      attentionMask: Int32Array.of(1, 1),
      labels: Int32Array.of(1, 2),
    });
  });
});
