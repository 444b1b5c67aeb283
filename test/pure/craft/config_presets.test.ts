/** @file Presets, options chosen for a machine, and where each value comes from. */
import { describe, expect, it } from "vitest";
import { craftPresets, CRAFTSFTConfig, getPreset } from "../../../src/craft/config.js";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { encodingBytes } from "../../../src/trainers/memory.js";

const json = {
  model_type: "llama",
  vocab_size: 64,
  hidden_size: 128,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
};
const model = AutoModelForCausalLM.withoutWeights(
  { file: "config.json", modelType: "llama", json },
  { dtype: "float32" },
);

const lengths = (rows: number, longest: number): Int32Array => new Int32Array(rows).fill(longest);
const MiB = 2 ** 20;

describe("presets", () => {
  it("are the five of Python CRAFT, with its values", () => {
    expect(craftPresets).toEqual(["minimal", "balanced", "memory_efficient", "large_batch", "aggressive"]);
    const expected = {
      minimal: [0.8, "none", false, false, "fixed", "oversample"],
      balanced: [0.6, "loss_scale", true, false, "auto", "auto_beta"],
      memory_efficient: [0.6, "loss_scale", true, true, "auto", "auto_beta"],
      large_batch: [0.5, "loss_scale", true, true, "auto", "auto_beta"],
      aggressive: [0.4, "gradnorm", true, true, "auto", "auto_beta"],
    } as const;
    for (const [name, values] of Object.entries(expected)) {
      const v = CRAFTSFTConfig.fromPreset(name).values;
      expect([
        v.craftAlpha,
        v.craftGradientBalancing,
        v.craftLearnableTemperature,
        v.craftUseGradcache,
        v.craftBetaMode,
        v.craftLengthStrategy,
      ]).toEqual(values);
    }
    const efficient = CRAFTSFTConfig.fromPreset("memory_efficient").values;
    expect([efficient.craftGradcacheChunkSize, efficient.craftProjectionDim]).toEqual([4, 128]);
    const large = CRAFTSFTConfig.fromPreset("large_batch").values;
    expect([
      large.craftGradcacheChunkSize,
      large.craftNegativeStrategy,
      large.craftNegativeQueueSize,
    ]).toEqual([8, "queue", 65536]);
    const aggressive = CRAFTSFTConfig.fromPreset("aggressive").values;
    expect([aggressive.craftGradnormAlpha, aggressive.craftNegativeQueueSize]).toEqual([1.5, 32768]);
  });

  it("are copies, and an unknown one is refused with those that there are", () => {
    getPreset("balanced").craftAlpha = 0;
    expect(getPreset("balanced").craftAlpha).toBe(0.6);
    expect(() => getPreset("fast")).toThrow('preset = fast: must be one of "minimal", "balanced"');
    expect(() => CRAFTSFTConfig.fromPreset("fast")).toThrow("preset = fast");
  });

  it("yield to what is given beside them", () => {
    const { values } = CRAFTSFTConfig.fromPreset("balanced", { craft_alpha: 0.2, craftTemperature: 0.1 });
    expect([values.craftAlpha, values.craftTemperature, values.craftBetaMode]).toEqual([0.2, 0.1, "auto"]);
  });

  it("let beta be given, and then do not take it from the data", () => {
    const { values } = CRAFTSFTConfig.fromPreset("balanced", { craftBeta: 0.25 });
    expect([values.craftBeta, values.craftBetaMode, values.craftLengthStrategy]).toEqual([
      0.25,
      "fixed",
      "oversample",
    ]);
  });

  it("lose the details of what is switched off", () => {
    const args = CRAFTSFTConfig.fromPreset("large_batch", {
      craftUseGradcache: false,
      craftNegativeStrategy: "in_batch",
    });
    expect([args.values.craftGradcacheChunkSize, args.values.craftNegativeQueueSize]).toEqual([4, 65536]);
    expect(args.explain().of("craft_gradcache_chunk_size")?.source).toBe("default");
    expect(() => CRAFTSFTConfig.fromPreset("minimal", { craftGradcacheChunkSize: 8 })).toThrow(
      "has no effect",
    );
  });
});

describe("explain", () => {
  it("says of every option what it is and why", () => {
    const args = CRAFTSFTConfig.fromPreset("balanced", { output_dir: "out", craftAlpha: 0.6 });
    const explanation = args.explain();
    expect(explanation.options.map(({ option }) => option)).toEqual(
      expect.arrayContaining(["output_dir", "learning_rate", "craft_alpha", "craft_beta_mode"]),
    );
    expect(explanation.of("outputDir")).toMatchObject({ value: "out", source: "given" });
    expect(explanation.of("craft_alpha")).toMatchObject({ value: 0.6, source: "given" });
    expect(explanation.of("craft_beta_mode")).toMatchObject({ source: "preset", reason: "preset balanced" });
    expect(explanation.of("craft_symmetric")).toMatchObject({ value: false, source: "default" });
    expect(String(explanation)).toMatch(/^craft_beta_mode +"auto" +preset balanced$/m);
  });
});

describe("auto", () => {
  const facts = { model, sftLengths: lengths(10, 64), contrastiveLengths: lengths(20, 60) };
  /** Of pairs of two texts of 64 tokens: 60, rounded up to a bucket. */
  const bytes = (pairs: number): number => encodingBytes(model, { rows: 2 * pairs, length: 64 });
  // Embedding, two layers (q, k, v, o; gate, up, down; norms), a norm, and the head.
  const numbers = 64 * 128 + 2 * (128 * 128 * 2 + 128 * 64 * 2 + 3 * 96 * 128 + 2 * 128) + 128 + 64 * 128;
  const trained = 12 * numbers;

  it("begins with the balanced preset and a projection of a quarter of the hidden size", () => {
    const args = CRAFTSFTConfig.auto({ ...facts, freeBytes: 2 ** 40 });
    expect(args.values).toMatchObject({
      craftAlpha: 0.6,
      craftGradientBalancing: "loss_scale",
      craftProjectionDim: 64,
      craftUseGradcache: false,
      craftNegativeStrategy: "in_batch",
    });
    expect(args.explain().of("craft_projection_dim")).toMatchObject({ source: "auto" });
    expect(args.explain().of("craft_use_gradcache")?.reason).toBe(
      `auto: 8 pairs of 64 tokens need about ${Math.round(bytes(8) / MiB)} MiB of ${Math.round((2 ** 40 - trained) / 2 / MiB)} MiB`,
    );
    expect(args.explain().of("craft_alpha")?.source).toBe("preset");
  });

  it("takes chunks where the batch does not fit in half of the free memory", () => {
    const at = (budget: number, options = {}) =>
      CRAFTSFTConfig.auto({ ...facts, freeBytes: trained + 2 * budget }, options).values;
    expect(at(bytes(8))).toMatchObject({ craftUseGradcache: false, craftGradcacheChunkSize: 4 });
    expect(at(bytes(8) - 1)).toMatchObject({ craftUseGradcache: true, craftGradcacheChunkSize: 4 });
    expect(at(bytes(4) - 1)).toMatchObject({ craftUseGradcache: true, craftGradcacheChunkSize: 2 });
    expect(at(0)).toMatchObject({ craftUseGradcache: true, craftGradcacheChunkSize: 1 });
    expect(at(bytes(2), { craftContrastiveBatchSize: 2 })).toMatchObject({ craftUseGradcache: false });
    expect(at(bytes(4) - 1, { maxLength: 16 })).toMatchObject({ craftUseGradcache: false });
    expect(at(bytes(2), { craft_use_gradcache: false })).toMatchObject({ craftUseGradcache: false });
  });

  it("takes a queue for many pairs, of at most half of them and an eighth of the memory", () => {
    const many = { ...facts, contrastiveLengths: lengths(120_000, 8) };
    const { values } = CRAFTSFTConfig.auto({ ...many, freeBytes: 2 ** 40 });
    expect([values.craftNegativeStrategy, values.craftNegativeQueueSize]).toEqual(["queue", 60_000]);
    // 60,000 vectors of 64 are 14.6 MiB; half of them fit into an eighth of 64 MiB.
    const small = CRAFTSFTConfig.auto({ ...many, freeBytes: trained + 2 * 64 * MiB });
    expect(small.values.craftNegativeQueueSize).toBe(30_000);
  });

  it("looks at the memory that is free, and needs rows", () => {
    expect(() => CRAFTSFTConfig.auto(facts)).not.toThrow();
    expect(() => CRAFTSFTConfig.auto({ ...facts, contrastiveLengths: [] })).toThrow(
      "contrastiveLengths: the dataset has no row",
    );
    const self = CRAFTSFTConfig.auto({ model, sftLengths: lengths(4, 4) });
    expect(self.explain().of("craft_use_gradcache")?.source).toBe("default");
  });
});
