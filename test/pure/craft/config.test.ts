/** @file CRAFT's options: defaults, spellings, and what is refused with which reason. */
import { describe, expect, it } from "vitest";
import { CRAFTSFTConfig } from "../../../src/craft/config.js";
import { requireDropout } from "../../../src/craft/trainer_data.js";

const make = (options: Readonly<Record<string, unknown>>) => new CRAFTSFTConfig(options);

describe("the options", () => {
  it("have the defaults of Python CRAFT 0.4.3, but for the metrics, of which all are reported", () => {
    const craft = Object.fromEntries(
      Object.entries(make({}).values).filter(([name]) => name.startsWith("craft")),
    );
    expect(craft).toEqual({
      craftAlpha: 0.6,
      craftTemperature: 0.05,
      craftLearnableTemperature: false,
      craftProjectionDim: 256,
      craftProjectionDropout: 0,
      craftPooling: "last_token",
      craftUseGradcache: false,
      craftGradcacheChunkSize: 4,
      craftUseHiddenStateHook: true,
      craftBeta: 0.6,
      craftBetaMode: "fixed",
      craftLengthStrategy: "oversample",
      craftNegativeStrategy: "in_batch",
      craftNegativeQueueSize: 65536,
      craftContrastiveKeys: {},
      craftAssistantMaskStrategy: "auto",
      craftAssistantMaskKey: "assistant_masks",
      craftContrastiveBatchSize: null,
      craftReportMetrics: [
        "contrastive_accuracy",
        "representation_consistency",
        "temperature",
        "gradient_norm",
      ],
      craftDebug: false,
      craftGradientBalancing: "none",
      craftGradnormAlpha: 1.5,
      craftLossScaleMomentum: 0.99,
      craftGradientClipPerTask: false,
      craftGradientClipValue: 1,
      // Options of our own.
      craftSymmetric: false,
      craftSelfAlignViews: "prompt_response",
    });
  });

  it("may be in either spelling, keys of columns too", () => {
    const snake = make({ craft_alpha: 0.3, craft_contrastive_keys: { positive_input_ids: "es" } });
    const camel = make({ craftAlpha: 0.3, craftContrastiveKeys: { positiveInputIds: "es" } });
    expect(snake.values).toEqual(camel.values);
    expect(snake.values.craftContrastiveKeys).toEqual({ positiveInputIds: "es" });
    expect(() => make({ craft_alpha: 0.3, craftAlpha: 0.3 })).toThrow("craft_alpha: is given twice");
  });

  it("can be given as a whole: the values of a configuration make the same one", () => {
    for (const preset of ["minimal", "balanced", "memory_efficient", "large_batch", "aggressive"]) {
      const { values } = CRAFTSFTConfig.fromPreset(preset, { outputDir: "out" });
      expect(make(values).values).toEqual(values);
    }
  });

  it.each<[object, string]>([
    [
      { craft_alhpa: 0.5 },
      "CRAFTSFTConfig, option craft_alhpa: there is no such option. Did you mean craft_alpha",
    ],
    [
      { craft_allow_packed_contrastive: true },
      "option craft_allow_packed_contrastive: there is no such option",
    ],
    [{ craft_alpha: 1.2 }, "craft_alpha = 1.2: "],
    [{ craft_temperature: 0.001 }, "craft_temperature = 0.001: "],
    [{ craft_negative_strategy: "inbatch" }, "craft_negative_strategy = inbatch: "],
    [{ craft_report_metrics: ["accuracy"] }, "craft_report_metrics"],
    [
      { craft_contrastive_keys: { positive: "es" } },
      "there is no key positive; the keys are anchor_input_ids, ",
    ],
    [{ craft_gradcache_chunk_size: 0 }, "craft_gradcache_chunk_size = 0"],
  ])("%o is refused", (options, message) => {
    expect(() => make({ ...options })).toThrow(message);
  });
});

it("takes a beta beside the automatic one, which then replaces it", () => {
  const options = { craft_beta: 0.5, craft_beta_mode: "auto", craft_length_strategy: "auto_beta" };
  expect(new CRAFTSFTConfig(options).values.craftBetaMode).toBe("auto");
});

describe("combinations that mean nothing", () => {
  it.each<[object, string]>([
    [
      { craft_negative_strategy: "none" },
      "craft_negative_strategy = none: InfoNCE tells a positive from negatives",
    ],
    [
      { craft_use_hidden_state_hook: false },
      "craft_use_hidden_state_hook = false: the last hidden states are read",
    ],
    [
      { craft_negative_strategy: "queue", craft_negative_queue_size: 16, craft_contrastive_batch_size: 17 },
      "craft_negative_queue_size = 16: is smaller than a contrastive batch of 17 pairs",
    ],
    [
      { craft_negative_strategy: "queue", craft_negative_queue_size: 16, per_device_train_batch_size: 32 },
      "is smaller than a contrastive batch of 32 pairs",
    ],
    [{ craft_gradcache_chunk_size: 8 }, "has no effect: craft_use_gradcache is false"],
    [{ craft_negative_queue_size: 100 }, "has no effect: craft_negative_strategy is not queue"],
    [{ craft_gradnorm_alpha: 1 }, "has no effect: craft_gradient_balancing is not gradnorm"],
    [{ craft_loss_scale_momentum: 0.9 }, "has no effect: craft_gradient_balancing is not loss_scale"],
    [{ craft_gradient_clip_value: 2 }, "has no effect: craft_gradient_clip_per_task is false"],
    [{ craft_projection_dim: null, craft_projection_dropout: 0.1 }, "there is no projection head"],
    [{ craft_beta: 1, craft_gradient_balancing: "pcgrad" }, "there is one task only and nothing to balance"],
    [{ craft_beta: 1, craft_use_gradcache: true }, "no contrastive batch is run, so there is none to cache"],
    [{ craft_beta: 1, craft_negative_strategy: "queue" }, "nothing is put into the queue"],
    [
      { craft_strategy: "paired_dataset", craft_beta: 0, craft_gradient_balancing: "pcgrad" },
      "with craft_beta = 0 and pairs of their own there is one task only",
    ],
    [
      { craft_strategy: "paired_dataset", craft_self_align_views: "full_response" },
      "craft_self_align_views = full_response: has no effect: the strategy is paired_dataset",
    ],
    [
      { craft_strategy: "paired_dataset", craft_contrastive_keys: { anchor_labels: "targets" } },
      "pairs carry no labels",
    ],
    [
      { craft_strategy: "self_align", craft_contrastive_keys: { positive_input_ids: "es" } },
      "self_align makes pairs of single rows, which have no positive_input_ids",
    ],
    [
      { craft_strategy: "self_align", craft_self_align_views: "full_response" },
      "both views end at the same token and would be identical",
    ],
    [
      { craft_strategy: "self_align", craft_self_align_views: "full_response", craft_pooling: "cls" },
      "craft_pooling = cls: reads the first token of a view",
    ],
    [{ craft_strategy: "self_align", craft_pooling: "cls" }, "craft_pooling = cls: reads the first token"],
    [
      { craft_strategy: "self_align", craft_assistant_mask_strategy: "none" },
      "leaves no prompt to be the anchor",
    ],
    [
      {
        craft_strategy: "self_align",
        craft_assistant_mask_strategy: "none",
        craft_self_align_views: "full_response",
        craft_pooling: "mean",
      },
      "both views are the whole row and identical",
    ],
  ])("%o", (options, message) => {
    expect(() => make({ ...options })).toThrow(message);
  });

  it.each<[object]>([
    [{ craft_negative_strategy: "queue", craft_negative_queue_size: 17, craft_contrastive_batch_size: 17 }],
    [{ craft_use_gradcache: true, craft_gradcache_chunk_size: 8 }],
    [{ craft_gradcache_chunk_size: 4 }],
    [{ craft_strategy: "self_align", craft_self_align_views: "full_response", craft_pooling: "mean" }],
    [
      {
        craft_strategy: "self_align",
        craft_self_align_views: "dropout",
        craft_assistant_mask_strategy: "none",
      },
    ],
    [{ craft_strategy: "self_align", craft_contrastive_keys: { anchor_labels: "targets" } }],
    [{ craft_beta_mode: "auto", craft_gradient_balancing: "gradnorm", craft_gradnorm_alpha: 1 }],
  ])("%o means something", (options) => {
    expect(() => make({ ...options })).not.toThrow();
  });

  it("are found for a strategy that the data decides", () => {
    const args = make({ craft_self_align_views: "full_response", craft_pooling: "mean" });
    expect(() => args.requireStrategy("self_align")).not.toThrow();
    expect(() => args.requireStrategy("paired_dataset")).toThrow(
      "has no effect: the strategy is paired_dataset",
    );
    expect(() => make({ craft_pooling: "cls" }).requireStrategy("paired_dataset")).not.toThrow();
    expect(() => make({ craft_pooling: "cls" }).requireStrategy("self_align")).toThrow("craft_pooling = cls");
  });

  it("dropout views without dropout: both passes would be identical", () => {
    const views = { craftSelfAlignViews: "dropout", craftProjectionDim: 8 } as const;
    expect(() => requireDropout({ ...views, craftProjectionDropout: 0 }, false)).toThrow(
      "craft_self_align_views = dropout: neither the model, nor its adapter, nor the projection head has any dropout",
    );
    expect(() => requireDropout({ ...views, craftProjectionDropout: 0.1 }, false)).not.toThrow();
    expect(() => requireDropout({ ...views, craftProjectionDropout: 0 }, true)).not.toThrow();
    const others = { craftSelfAlignViews: "prompt_response", craftProjectionDim: 8 } as const;
    expect(() => requireDropout({ ...others, craftProjectionDropout: 0 }, false)).not.toThrow();
  });
});
