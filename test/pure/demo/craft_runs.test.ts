import { describe, expect, it } from "vitest";
import {
  chooseRuns,
  craftConfig,
  fixedForAll,
  settingsOf,
  type CraftRun,
} from "../../../src/cli/demo/craft_runs.js";
import { inWords, partsOf, secondsLeft } from "../../../src/cli/demo/time.js";
import { craftPresets, getPreset } from "../../../src/craft/index.js";

const names = (runs: readonly CraftRun[]) => runs.map(({ name }) => name);
const runWith = (preset: string, strategy = "paired_dataset") => chooseRuns([preset], strategy)[0]!;

describe("chooseRuns", () => {
  it("gives one run with the demo's own options where no preset is named", () => {
    expect(chooseRuns([], "self_align")).toEqual([{ name: "CRAFT", strategy: "self_align" }]);
  });

  it("takes presets one by one, with commas between, and all of them", () => {
    expect(names(chooseRuns(["balanced, minimal", "aggressive"], "paired_dataset"))).toEqual([
      "balanced",
      "minimal",
      "aggressive",
    ]);
    expect(names(chooseRuns(["all"], "paired_dataset"))).toEqual(craftPresets);
    expect(craftPresets).toHaveLength(5);
  });

  it("refuses what is none, and what is named twice", () => {
    expect(() => chooseRuns(["minimal,fast"], "paired_dataset")).toThrow(/--preset.*fast.*"minimal".*"all"/);
    expect(() => chooseRuns(["all", "minimal"], "paired_dataset")).toThrow(/names minimal twice/);
    expect(() => chooseRuns([], "self-align")).toThrow(/--strategy.*self-align.*"self_align"/);
  });
});

describe("craftConfig", () => {
  // What says how many rows and pairs a step holds is the demo's; all else is the preset's.
  const shape = ["craftBetaMode", "craftLengthStrategy"];

  it.each(craftPresets)("leaves %s as it is, but for what a step holds", (preset) => {
    const values: Record<string, unknown> = craftConfig(runWith(preset), {}).values;
    for (const [option, value] of Object.entries(getPreset(preset)))
      if (!shape.includes(option)) expect([option, values[option]]).toEqual([option, value]);
    expect(values).toMatchObject({
      gradientAccumulationSteps: 2,
      craftBeta: 0.5,
      craftBetaMode: "fixed",
      craftLengthStrategy: "oversample",
      craftContrastiveBatchSize: 32,
    });
  });

  it("takes self-align's pairs from the rows of the one batch that a step has", () => {
    const { values } = craftConfig(runWith("balanced", "self_align"), { perDeviceTrainBatchSize: 32 });
    expect(values).toMatchObject({
      craftStrategy: "self_align",
      gradientAccumulationSteps: 1,
      craftContrastiveBatchSize: null,
      craftGradientBalancing: "loss_scale",
    });
  });
});

describe("settingsOf", () => {
  const of = (preset: string, steps: number, strategy?: string) => {
    const run = runWith(preset, strategy);
    return settingsOf(run, craftConfig(run, {}), steps);
  };

  it("lists the options that are not the defaults", () => {
    expect(of("minimal", 400)).toEqual({
      preset: "minimal",
      strategy: "paired_dataset",
      options: { craft_alpha: 0.8 },
      remarks: [],
    });
    expect(of("aggressive", 400).options).toEqual({
      craft_alpha: 0.4,
      craft_gradient_balancing: "gradnorm",
      craft_learnable_temperature: true,
      craft_negative_strategy: "queue",
      craft_negative_queue_size: 32768,
      craft_use_gradcache: true,
    });
  });

  it("says what of a preset acts otherwise here, and what does not act", () => {
    const [beta, chunks, queue] = of("large_batch", 400).remarks;
    expect(beta).toMatch(/craft_beta_mode auto .* give way to the fixed craft_beta/);
    expect(chunks).toMatch(/changes no score .* batch of 32 in chunks of 8/);
    expect(queue).toMatch(/queue of 65,536 never fills: at most 12,800 positives pass in 400 steps/);
    expect(of("balanced", 400, "self_align").remarks).toEqual([expect.stringMatching(/have no effect/)]);
  });

  it("counts the positives that pass through a queue", () => {
    expect(of("aggressive", 1023).remarks).toHaveLength(3);
    expect(of("aggressive", 1024).remarks).toHaveLength(2); // 1024 steps of 32 are 32,768
  });

  it("says of a chunk that holds the whole batch that it does nothing", () => {
    const run = runWith("memory_efficient");
    const config = craftConfig(run, { craftGradcacheChunkSize: 32 });
    expect(settingsOf(run, config, 400).remarks).toContain(
      "GradCache has no effect: a chunk of 32 holds the batch of 32",
    );
  });

  it("tells what every run has alike", () => {
    expect(fixedForAll("paired_dataset")).toMatch(
      /batch of 32 rows.*contrastive batch of 32 pairs.*craft_beta 0\.5/,
    );
    expect(fixedForAll("self_align")).toMatch(/prompt against answer/);
  });
});

describe("the time that is left", () => {
  it("is the guess at first, and then goes by what has passed", () => {
    const parts = [10, 30, 60].map((seconds) => ({ name: "", seconds }));
    expect(secondsLeft(parts, 0, 0)).toBe(100);
    expect(secondsLeft(parts, 2, 80)).toBe(120); // twice as slow as guessed
    expect([inWords(4), inWords(44), inWords(89), inWords(600)]).toEqual([
      "10 seconds",
      "40 seconds",
      "90 seconds",
      "10 minutes",
    ]);
  });

  it("counts base, SFT and each run, more steps as more, and chunks as slower", () => {
    const runs = chooseRuns(["minimal", "memory_efficient"], "paired_dataset");
    const parts = partsOf(runs, 100);
    expect(parts.map(({ name }) => name)).toEqual(["base", "SFT", "minimal", "memory_efficient"]);
    const seconds = parts.map((part) => part.seconds);
    expect([...seconds].sort((a, b) => a - b)).toEqual(seconds);
    expect(secondsLeft(partsOf(runs, 200), 0, 0)).toBeGreaterThan(secondsLeft(parts, 0, 0));
  });
});
