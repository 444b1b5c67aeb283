/** @file Point 5 of the semantics, self-align: the two views of a row, and what would make them one. */
import { describe, expect, it } from "vitest";
import { CRAFTCollator } from "../../../src/craft/data/collator.js";
import { textHash } from "../../../src/craft/data/text_hash.js";

describe("CRAFTCollator, self-aligned rows", () => {
  const rows = [
    { input_ids: [1, 5, 6, 7], labels: [-100, -100, 6, 7] },
    // Two turns of the assistant; the prompt is what comes before the first.
    { input_ids: [1, 8, 9, 4, 2], labels: [-100, 8, -100, 4, -100], attention_mask: [1, 1, 1, 1, 0] },
  ];

  it("masks prompt and assistant from the labels", () => {
    const batch = new CRAFTCollator({ padToMultipleOf: 1 }).collateSelfAlign(rows);
    expect(batch.shape).toEqual([2, 5]);
    expect(batch.promptMask).toEqual(Int32Array.of(1, 1, 0, 0, 0, 1, 0, 0, 0, 0));
    expect(batch.assistantMask).toEqual(Int32Array.of(0, 0, 1, 1, 0, 0, 1, 0, 1, 0));
    expect(batch.labels).toEqual(Int32Array.of(-100, -100, 6, 7, -100, -100, 8, -100, 4, -100));
    expect(batch.anchorHash).toEqual(Int32Array.of(textHash([1, 5]), textHash([1])));
    expect(batch.positiveHash).toEqual(Int32Array.of(textHash([6, 7]), textHash([8, 4])));
  });

  it("pads the masks on the left", () => {
    const batch = new CRAFTCollator({ padToMultipleOf: 1, paddingSide: "left" }).collateSelfAlign(rows);
    expect(batch.promptMask).toEqual(Int32Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0, 0));
    expect(batch.assistantMask).toEqual(Int32Array.of(0, 0, 0, 1, 1, 0, 1, 0, 1, 0));
  });

  it("prefers a mask column over labels, and can insist on it", () => {
    const masked = rows.map((row) => ({
      ...row,
      assistant_masks: row.input_ids.map((_, i) => (i === 3 ? 1 : 0)),
    }));
    const said = Int32Array.of(0, 0, 0, 1, 0, 0, 0, 0, 1, 0);
    expect(new CRAFTCollator({ padToMultipleOf: 1 }).collateSelfAlign(masked).assistantMask).toEqual(said);
    const provided = new CRAFTCollator({ assistantMaskStrategy: "provided", padToMultipleOf: 1 });
    expect(provided.collateSelfAlign(masked).assistantMask).toEqual(said);
    expect(() => provided.collateSelfAlign(rows)).toThrow('batch, row 0: has no column "assistant_masks"');
    const renamed = new CRAFTCollator({ assistantMaskStrategy: "provided", assistantMaskKey: "labels" });
    expect(() => renamed.collateSelfAlign(rows)).toThrow("column labels, place 0 = -100");
  });

  it("refuses a row without prompt or assistant, where the views need them", () => {
    const whole = [{ input_ids: [1, 2] }, { input_ids: [1, 3] }];
    const silent = [{ input_ids: [1, 2], labels: [-100, -100] }, rows[0]!];
    const collator = new CRAFTCollator();
    expect(() => collator.collateSelfAlign(whole)).toThrow(
      "batch, row 0: no token comes before the assistant's",
    );
    expect(() => collator.collateSelfAlign(silent)).toThrow("batch, row 0: no token is the assistant's");
    const response = new CRAFTCollator({ selfAlignViews: "full_response" });
    expect(() => response.collateSelfAlign(silent)).toThrow("batch, row 0: no token is the assistant's");
    const full = response.collateSelfAlign(whole);
    expect(full.anchorHash).toEqual(full.positiveHash);
    const dropout = new CRAFTCollator({ selfAlignViews: "dropout" }).collateSelfAlign(silent);
    expect(dropout.positiveHash).toEqual(Int32Array.of(textHash([1, 2]), textHash([1, 5, 6, 7])));
  });

  it("refuses one row alone", () => {
    expect(() => new CRAFTCollator().collateSelfAlign([rows[0]!])).toThrow(
      "a batch of 1 pair has no negatives",
    );
  });
});
