import { describe, expect, it } from "vitest";
import { checkCraftBundle, makeCraftDatasets } from "../../../src/craft/data/bundle.js";
import { CRAFTCollator } from "../../../src/craft/data/collator.js";
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

describe("checkCraftBundle", () => {
  const good = { input_ids: [1, 2], labels: [-100, 2] };

  it("finds a pair that lacks a side, wherever it is", async () => {
    const contrastiveDataset = [...pairs, { input_ids: [1], input_ids_tgt: [2] }, { input_ids: [1] }];
    const { check } = new CRAFTCollator();
    await expect(checkCraftBundle(makeCraftDatasets(sft, { contrastiveDataset }), check)).rejects.toThrow(
      'contrastiveDataset, row 2: has no column "input_ids_tgt"; its columns are "input_ids".',
    );
    await checkCraftBundle(makeCraftDatasets(sft, { contrastiveDataset: pairs }), check);
  });

  it("finds a row without a prompt, where the views need one", async () => {
    const bundle = makeCraftDatasets([good, { input_ids: [1, 2], labels: [1, 2] }]);
    await expect(checkCraftBundle(bundle, new CRAFTCollator().check)).rejects.toThrow(
      "sftDataset, row 1: no token comes before the assistant's",
    );
    await checkCraftBundle(bundle, new CRAFTCollator({ selfAlignViews: "dropout" }).check);
    await checkCraftBundle(makeCraftDatasets([good]), new CRAFTCollator().check);
  });
});
