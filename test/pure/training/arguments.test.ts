/** @file Options of trainers: both spellings, ranges, defaults, and what is refused. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CRAFTSFTConfig } from "../../../src/craft/config.js";
import { SFTConfig, sftFields } from "../../../src/trainers/sft/config.js";
import { camelCaseKeys, optionName } from "../../../src/training/arguments.js";

const errorOf = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  return "accepted";
};
const sft = (options: Record<string, unknown>) => errorOf(() => new SFTConfig(options));
const craft = (options: Record<string, unknown>) => errorOf(() => new CRAFTSFTConfig(options));

describe("spellings", () => {
  it("may be those of code or of files, and mean the same", () => {
    const camel = new CRAFTSFTConfig({ craftAlpha: 0.3, perDeviceTrainBatchSize: 2, adamBeta1: 0.8 });
    const snake = new CRAFTSFTConfig({ craft_alpha: 0.3, per_device_train_batch_size: 2, adam_beta1: 0.8 });
    expect(snake.values).toEqual(camel.values);
    expect([camel.values.craftAlpha, camel.values.adamBeta1]).toEqual([0.3, 0.8]);
  });

  it.each([
    ["bnb_4bit_quant_type", "bnb4bitQuantType"],
    ["load_in_4bit", "loadIn4bit"],
    ["llm_int8_skip_modules", "llmInt8SkipModules"],
    ["adam_beta1", "adamBeta1"],
  ])("have numbers where Python has them: %s", (snake, camel) => {
    expect(optionName(camel)).toBe(snake);
    expect(camelCaseKeys({ [snake]: 1 })).toEqual({ [camel]: 1 });
  });

  it("must not both be given", () => {
    expect(sft({ learningRate: 1, learning_rate: 2 })).toBe(
      "CraftError: learning_rate: is given twice, in both spellings. Keep one.",
    );
  });

  it("go both ways for every option", () => {
    for (const name of Object.keys(new CRAFTSFTConfig().values)) {
      const snake = optionName(name);
      expect(snake).toMatch(/^[a-z0-9]+(_[a-z0-9]+)*$/);
      expect(craft({ [snake]: Symbol("no value of any option") }), snake).toContain(`CraftError: ${snake}`);
    }
  });
});

describe("defaults", () => {
  it("are those of TRL's SFTConfig (parity/trl.py)", () => {
    const path = join(import.meta.dirname, "../../fixtures/trl/runs.json");
    const { defaults } = JSON.parse(readFileSync(path, "utf8")) as { defaults: Record<string, unknown> };
    // Here blocks are recomputed only on demand, and a checkpoint is a folder, the last one, or none.
    const ours: Record<string, unknown> = {
      output_dir: "trainer_output",
      gradient_checkpointing: false,
      disable_tqdm: false,
      resume_from_checkpoint: false,
    };
    const { values } = new SFTConfig();
    const shared = Object.keys(sftFields).filter((name) => optionName(name) in defaults);
    expect(shared.length).toBeGreaterThan(30);
    for (const name of shared) {
      const snake = optionName(name);
      const expected = snake in ours ? ours[snake] : (defaults[snake] ?? undefined);
      expect((values as Record<string, unknown>)[name], snake).toBe(expected);
    }
  });

  it("do not stand in for a value that is undefined in the caller's object", () => {
    expect(new SFTConfig({ learning_rate: undefined }).values.learningRate).toBe(2e-5);
  });
});

describe("an unknown option", () => {
  it.each([
    ["learning_rte", "Did you mean learning_rate"],
    ["learningRat", "Did you mean learning_rate"],
    ["outputdir", "Did you mean output_dir"],
    ["batch_size", "Did you mean per_device_train_batch_size, per_device_eval_batch_size"],
    ["warmup_ratio", "Did you mean warmup_steps"],
    ["save_step", "Did you mean save_steps"],
    ["fsdp", "Known are output_dir, per_device_train_batch_size"],
  ])("%s", (name, remedy) => {
    const message = sft({ [name]: 1 });
    expect(message).toContain(
      `CraftError: SFTConfig, option ${optionName(name)}: there is no such option. ${remedy}`,
    );
  });

  it("of CRAFT is unknown to plain SFT", () => {
    expect(sft({ craft_alpha: 0.5 })).toContain("SFTConfig, option craft_alpha: there is no such option.");
    expect(craft({ craft_alfa: 0.5 })).toContain(
      "CRAFTSFTConfig, option craft_alfa: there is no such option. Did you mean craft_alpha",
    );
  });
});

describe("a value out of range", () => {
  it.each([
    ["craft_alpha", -0.01],
    ["craft_alpha", 1.01],
    ["craft_alpha", NaN],
    ["craft_alpha", "0.5"],
    ["craft_beta", 2],
    ["craft_beta_mode", "sometimes"],
    ["craft_length_strategy", "none"],
    ["craft_strategy", "both"],
    ["craft_contrastive_batch_size", 0],
    ["craft_temperature", 0],
    ["craft_temperature", 101],
    ["craft_projection_dim", 0],
    ["craft_projection_dropout", 1],
    ["craft_pooling", "max"],
    ["craft_self_align_views", "both"],
    ["learning_rate", -1],
    ["learning_rate", Infinity],
    ["max_steps", -2],
    ["max_steps", 1.5],
    ["num_train_epochs", 0],
    ["per_device_train_batch_size", 0],
    ["gradient_accumulation_steps", 0],
    ["lr_scheduler_type", "exponential"],
    ["adam_beta2", 1],
    ["adam_epsilon", 0],
    ["max_grad_norm", -1],
    ["save_strategy", "sometimes"],
    ["logging_steps", 0],
    ["logging_steps", 1.5],
    ["save_steps", -0.5],
    ["eval_delay", -1],
    ["save_total_limit", 0],
    ["report_to", "wandb"],
    ["report_to", ["tensorboard", "mlflow"]],
    ["seed", -1],
    ["max_length", 1],
    ["dtype", "int8"],
    ["on_bad_row", "ignore"],
  ])("%s = %s", (name, value) => {
    expect(craft({ [name]: value })).toMatch(new RegExp(`^CraftError: ${name} = .+: .+`));
  });

  it("is accepted at the ends of the range", () => {
    for (const options of [{ craft_alpha: 0 }, { craft_alpha: 1 }, { craft_beta: 0 }, { craft_beta: 1 }])
      expect(craft(options)).toBe("accepted");
  });
});

describe("options that make no sense together", () => {
  it("are views that are the same token", () => {
    const same = { craft_strategy: "self_align", craft_self_align_views: "full_response" };
    expect(craft(same)).toBe(
      "CraftError: craft_pooling = last_token: with craft_self_align_views full_response both views end at the same token " +
        "and would be identical. Use craft_pooling mean. Use craft_self_align_views prompt_response.",
    );
    expect(craft({ ...same, craft_pooling: "mean" })).toBe("accepted");
  });
});

describe("options of a run that do not go together", () => {
  const evaluated = { eval_strategy: "steps", eval_steps: 10 };
  it.each<[Record<string, unknown>, string]>([
    [
      { load_best_model_at_end: true },
      "load_best_model_at_end = true: needs a checkpoint for each evaluation, and eval_strategy is no while save_strategy is steps. " +
        "Make them the same, or set save_strategy to best.",
    ],
    [
      { load_best_model_at_end: true, eval_strategy: "epoch" },
      "eval_strategy is epoch while save_strategy is steps",
    ],
    [
      { load_best_model_at_end: true, ...evaluated, save_steps: 25 },
      "save_steps = 25: load_best_model_at_end needs a multiple of eval_steps, which is 10.",
    ],
    [{ load_best_model_at_end: true, ...evaluated, save_steps: 0.5 }, "save_steps = 0.5: "],
    [
      { load_best_model_at_end: true, eval_strategy: "steps", eval_steps: 0.1, save_steps: 0.25 },
      "save_steps = 0.25: ",
    ],
    [
      { save_strategy: "best" },
      "eval_strategy = no: save_strategy: best compares evaluations, and there are none.",
    ],
    [{ save_strategy: "best", ...evaluated }, "metric_for_best_model: is needed by save_strategy: best."],
    [{ metric_for_best_model: "loss" }, "eval_strategy = no: metric_for_best_model compares evaluations"],
    [{ greater_is_better: true, ...evaluated }, "greater_is_better = true: has no effect"],
    [
      { lr_scheduler_type: "reduce_lr_on_plateau" },
      "lr_scheduler_type = reduce_lr_on_plateau: goes by evaluations",
    ],
    [
      { lr_scheduler_type: "reduce_lr_on_plateau", metric_for_best_model: "accuracy", ...evaluated },
      "lr_scheduler_kwargs.mode = min: would take higher eval_accuracy for worse",
    ],
    [
      { lr_scheduler_type: "constant", warmup_steps: 3 },
      "warmup_steps = 3: the schedule constant has no warm-up.",
    ],
    [
      { lr_scheduler_kwargs: { power: 2 } },
      "lr_scheduler_kwargs.power: the schedule linear has no such option.",
    ],
    [{ report_to: ["none", "tensorboard"] }, "report_to = "],
  ])("%o", (options, message) => {
    expect(sft(options)).toContain(
      `CraftError: ${message.startsWith("eval_strategy is") ? "load_best" : message}`,
    );
    expect(sft(options)).toContain(message);
  });

  it.each<Record<string, unknown>>([
    { load_best_model_at_end: true, ...evaluated, save_steps: 20 },
    { load_best_model_at_end: true, eval_strategy: "epoch", save_strategy: "epoch" },
    { load_best_model_at_end: true, eval_strategy: "epoch", save_strategy: "best" },
    { load_best_model_at_end: true, eval_strategy: "steps", eval_steps: 0.1, save_steps: 0.3 },
    { load_best_model_at_end: true, eval_strategy: "steps", logging_steps: 5, save_steps: 10 },
    { save_strategy: "best", metric_for_best_model: "loss", ...evaluated },
    {
      lr_scheduler_type: "reduce_lr_on_plateau",
      metric_for_best_model: "accuracy",
      lr_scheduler_kwargs: { mode: "max" },
      ...evaluated,
    },
    { logging_steps: 0.25, eval_delay: 0.5, eval_on_start: true },
    { report_to: ["tensorboard"] },
  ])("but %o do", (options) => {
    expect(sft(options)).toBe("accepted");
  });
});
