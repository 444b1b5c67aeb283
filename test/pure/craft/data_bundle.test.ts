import { describe, expect, it } from "vitest";
import { makeCraftDatasets } from "../../../src/craft/data/bundle.js";
import { Dataset } from "../../../src/data/dataset.js";

const sft = [{ input_ids: [1, 2] }];
const pairs = [{ input_ids: [1, 2], input_ids_tgt: [1, 3] }];

describe("makeCraftDatasets", () => {
  it("takes arrays and datasets, and the strategy from what is given", async () => {
    const paired = makeCraftDatasets(sft, {
      contrastiveDataset: Dataset.fromArray(pairs, { name: "pairs" }),
    });
    expect(paired.strategy).toBe("paired_dataset");
    expect(paired.strategy === "paired_dataset" && (await paired.contrastive.toArray())).toEqual(pairs);
    expect(await paired.sft.toArray()).toEqual(sft);
    expect(makeCraftDatasets(sft).strategy).toBe("self_align");
    expect(makeCraftDatasets(sft, { strategy: "self_align" }).strategy).toBe("self_align");
  });

  it("refuses what does not fit together", () => {
    expect(() => makeCraftDatasets(sft, { strategy: "paired_dataset" })).toThrow(
      'contrastiveDataset: the strategy "paired_dataset" needs a dataset of pairs. Give one, or choose "self_align".',
    );
    expect(() => makeCraftDatasets(sft, { strategy: "self_align", contrastiveDataset: pairs })).toThrow(
      'contrastiveDataset: the strategy "self_align" makes its pairs from the SFT rows.',
    );
    expect(() => makeCraftDatasets(sft, { contrastiveDataset: [] })).toThrow(
      "contrastiveDataset: the dataset has no row.",
    );
    expect(() => makeCraftDatasets([])).toThrow("sftDataset: the dataset has no row.");
    const unknown = { strategy: "paired" };
    expect(() => Reflect.apply(makeCraftDatasets, undefined, [sft, unknown]) as unknown).toThrow(
      'strategy = paired: must be one of "paired_dataset", "self_align".',
    );
    const misspelt = { strategy: "self_align" as const, contrastive: pairs };
    expect(() => makeCraftDatasets(sft, misspelt)).toThrow(
      "makeCraftDatasets, option contrastive: there is no such option.",
    );
  });
});
