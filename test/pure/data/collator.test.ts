import { describe, expect, it } from "vitest";
import { bucketSize } from "../../../src/data/buckets.js";
import { DataCollatorForLanguageModeling } from "../../../src/data/collator.js";
import { labelPositions } from "../../../src/data/label_positions.js";
import type { PaddingOptions } from "../../../src/data/padding.js";

const rows = [
  { input_ids: [1, 5, 7], labels: [-100, 5, 7] },
  { input_ids: Int32Array.of(1, 8, 9, 4, 2), attention_mask: [1, 1, 1, 1, 0] },
];

const collate = (options: PaddingOptions) => new DataCollatorForLanguageModeling(options).collate(rows);

describe("DataCollatorForLanguageModeling", () => {
  it("pads right, up to a multiple", () => {
    expect(collate({ padTokenId: 3, padToMultipleOf: 3 })).toEqual({
      shape: [2, 6],
      inputIds: Int32Array.of(1, 5, 7, 3, 3, 3, 1, 8, 9, 4, 2, 3),
      attentionMask: Int32Array.of(1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0),
      labels: Int32Array.of(-100, 5, 7, -100, -100, -100, 1, 8, 9, 4, -100, -100),
    });
  });

  it("pads left, up to the longest row", () => {
    expect(collate({ paddingSide: "left", padToMultipleOf: 1 })).toEqual({
      shape: [2, 5],
      inputIds: Int32Array.of(0, 0, 1, 5, 7, 1, 8, 9, 4, 2),
      attentionMask: Int32Array.of(0, 0, 1, 1, 1, 1, 1, 1, 1, 0),
      labels: Int32Array.of(-100, -100, -100, 5, 7, 1, 8, 9, 4, -100),
    });
  });

  it("pads to the smallest given bucket that holds the longest row, and to 8 by default", () => {
    expect(collate({ buckets: [4, 7, 16] }).shape).toEqual([2, 7]);
    expect(collate({}).shape).toEqual([2, 8]);
    expect(collate({ maxLength: 6 }).shape).toEqual([2, 6]);
  });

  it.each([
    [[{ input_ids: [] }], "train.jsonl, line 3, column input_ids: the row is empty: it has no token."],
    [[{ text: "x" }], 'train.jsonl, line 3: has no column "input_ids"; its columns are "text".'],
    [[{ input_ids: [1], attention_mask: [0] }], "column attention_mask: the row is empty: no position is 1."],
    [
      [{ input_ids: [1, 2], labels: [1] }],
      "column labels = 1 values: must have as many values as input_ids, which has 2.",
    ],
    [[{ input_ids: [1, 0.5] }], "column input_ids, place 1 = 0.5: must be an integer from 0 to 2^31 - 1."],
    [[{ input_ids: [1, 2 ** 31] }], "column input_ids, place 1 = 2147483648: must be an integer"],
    [[{ input_ids: "1 2" }], "column input_ids = 1 2: must be a list of integers."],
    [[{ input_ids: [1, 2, 3, 4, 5, 6, 7] }], "column input_ids = 7 tokens: is longer than maxLength = 6."],
  ])("refuses %j", (bad, message) => {
    const collator = new DataCollatorForLanguageModeling({ maxLength: 6 });
    expect(() => collator.collate(bad, ["train.jsonl, line 3"])).toThrow(message);
  });

  it.each<[PaddingOptions, string]>([
    [{ padToMultipleOf: 0 }, "padToMultipleOf = 0: must be an integer of at least 1."],
    [{ buckets: [8, 8] }, "buckets = [8,8]: must be ascending integers of at least 1."],
    [{ buckets: [8], padToMultipleOf: 8 }, "cannot be given together with padToMultipleOf"],
    [{ padTokenId: -1 }, "padTokenId = -1: must be a token id, 0 or more."],
  ])("refuses the options %j", (options, message) => {
    expect(() => new DataCollatorForLanguageModeling(options)).toThrow(message);
  });

  it("refuses an unknown option and an empty batch", () => {
    const misspelt = { padTokenId: 0, padToMultiple: 8 };
    expect(() => new DataCollatorForLanguageModeling(misspelt)).toThrow(
      "option padToMultiple: there is no such option. The options are padTokenId, paddingSide, padToMultipleOf, buckets, maxLength, paddingFree.",
    );
    expect(() => new DataCollatorForLanguageModeling().collate([])).toThrow("a batch needs at least one row");
  });
});

describe("bucketSize", () => {
  it("has multiples of 8 up to 64, then four sizes to each doubling", () => {
    const reached = new Set(Array.from({ length: 512 }, (_, i) => bucketSize(i + 1)));
    expect([...reached]).toEqual([
      8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512,
    ]);
    for (let size = 0; size <= 512; size++) expect(bucketSize(size)).toBeGreaterThanOrEqual(size);
  });

  it("stops at maxLength and refuses more", () => {
    expect(bucketSize(97, { maxLength: 100 })).toBe(100);
    expect(bucketSize(90, { maxLength: 100 })).toBe(96);
    expect(() => bucketSize(101, { maxLength: 100 })).toThrow("maxLength = 100: a length of 101 is larger");
    expect(() => bucketSize(9, { buckets: [4, 8] })).toThrow("no bucket holds a length of 9");
  });
});

describe("labelPositions", () => {
  it("lists the positions before each label, and fills up with weight 0", () => {
    // Row 0 (length 6): labels 5, 7 at 1, 2 -> predicted from 0, 1. Row 1: labels 1, 8, 9, 4 at 0..3; the one at 0 has
    // no position before it -> 6, 7, 8.
    expect(labelPositions(collate({ padToMultipleOf: 3 }), { padToMultipleOf: 4 })).toEqual({
      index: Int32Array.of(0, 1, 6, 7, 8, 0, 0, 0),
      target: Int32Array.of(5, 7, 8, 9, 4, 0, 0, 0),
      weight: Float32Array.of(1, 1, 1, 1, 1, 0, 0, 0),
      count: 5,
    });
  });

  it("gives the same labels under left padding: padding predicts nothing", () => {
    // Row 0 (length 5, two padded): labels 5, 7 at 3, 4 -> 2, 3. Row 1 has no padding on the left: 5, 6, 7.
    const left = labelPositions(collate({ paddingSide: "left", padToMultipleOf: 1 }), { padToMultipleOf: 1 });
    expect(left).toEqual({
      index: Int32Array.of(2, 3, 5, 6, 7),
      target: Int32Array.of(5, 7, 8, 9, 4),
      weight: new Float32Array(5).fill(1),
      count: 5,
    });
    const first = new DataCollatorForLanguageModeling({ paddingSide: "left", buckets: [4] });
    const whole = first.collate([{ input_ids: [6, 7] }]);
    expect([...labelPositions(whole, { padToMultipleOf: 1 }).index]).toEqual([2]);
  });

  it("is well-formed without any label", () => {
    const batch = new DataCollatorForLanguageModeling().collate([
      { input_ids: [4, 5], labels: [-100, -100] },
    ]);
    expect(labelPositions(batch)).toEqual({
      index: new Int32Array(8),
      target: new Int32Array(8),
      weight: new Float32Array(8),
      count: 0,
    });
  });
});
