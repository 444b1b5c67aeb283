/** @file The CRAFT runs of the demo: which there are, their options, and what of these acts here. */
import {
  craftPresets,
  CRAFTSFTConfig,
  craftStrategies,
  getPreset,
  type CraftPreset,
  type CRAFTSFTOptions,
  type CraftStrategy,
} from "../../craft/index.js";
import { requireOneOf } from "../../data/options.js";
import { CraftError } from "../../errors.js";

/** One run with CRAFT. */
export interface CraftRun {
  /** What it is called in tables and charts. */
  readonly name: string;
  readonly strategy: CraftStrategy;
  /** Without one, the demo's own options. */
  readonly preset?: CraftPreset;
}

/** SFT rows of a step, and pairs of a contrastive batch. */
export const rowsPerStep = 32;

/**
 * @param presets as given on the command line, each value one name or several with commas between; "all" stands for
 *   every preset, and none at all for one run with the demo's own options.
 * @throws CraftError for an unknown preset or strategy, and for a preset that is named twice.
 */
export function chooseRuns(presets: readonly string[], strategyName: string): CraftRun[] {
  const strategy = requireOneOf("--strategy", strategyName, craftStrategies);
  if (presets.length === 0) return [{ name: "CRAFT", strategy }];
  const names = presets
    .flatMap((value) => value.split(","))
    .map((name) => requireOneOf("--preset", name.trim(), [...craftPresets, "all"] as const));
  const runs: CraftRun[] = [];
  for (const preset of names.flatMap((name): readonly CraftPreset[] =>
    name === "all" ? craftPresets : [name],
  )) {
    if (runs.some(({ name }) => name === preset))
      throw new CraftError({ subject: "--preset", value: names.join(","), reason: `names ${preset} twice` });
    runs.push({ name: preset, preset, strategy });
  }
  return runs;
}

/**
 * The options of a run. Beside a preset the demo fixes those that decide how many rows and pairs a step holds, so that
 * every run sees the supervised batches of the SFT run.
 *
 * @param options those of the SFT run
 */
export function craftConfig({ preset, strategy }: CraftRun, options: CRAFTSFTOptions): CRAFTSFTConfig {
  const fixed = { ...options, ...batches[strategy] };
  if (preset !== undefined) return CRAFTSFTConfig.fromPreset(preset, fixed);
  return new CRAFTSFTConfig({ ...fixed, ...ownOptions });
}

/** Of runs without a preset; how they were chosen is told in docs/decisions.md. */
export const ownOptions = { craftAlpha: 0.9, craftTemperature: 0.1 } as const satisfies CRAFTSFTOptions;

const batches = {
  /** A contrastive batch beside each supervised one. */
  paired_dataset: {
    craftStrategy: "paired_dataset",
    gradientAccumulationSteps: 2,
    craftBeta: 0.5,
    craftContrastiveBatchSize: rowsPerStep,
  },
  /** One batch a step, all of whose rows give both losses. */
  self_align: { craftStrategy: "self_align", gradientAccumulationSteps: 1, craftBeta: 0 },
} as const satisfies Record<CraftStrategy, CRAFTSFTOptions>;

/** What a run was trained with. */
export interface RunSettings {
  readonly preset: CraftPreset | null;
  readonly strategy: CraftStrategy;
  /** CRAFT's options that are not the defaults, but for those that {@link fixedForAll} tells of. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What of the options acts otherwise here than it would elsewhere, or not at all. */
  readonly remarks: readonly string[];
}

export function settingsOf(run: CraftRun, config: CRAFTSFTConfig, steps: number): RunSettings {
  const [standard, explained] = [new CRAFTSFTConfig().explain(), config.explain()];
  const text = (value: unknown): string | undefined => JSON.stringify(value);
  const own = explained.options.filter(
    ({ option, value }) =>
      option.startsWith("craft_") && !fixed.has(option) && text(value) !== text(standard.of(option)?.value),
  );
  return {
    preset: run.preset ?? null,
    strategy: run.strategy,
    options: Object.fromEntries(own.map(({ option, value }) => [option, value])),
    remarks: remarksOn(run, config, steps),
  };
}

const fixed = new Set(["craft_strategy", "craft_beta", "craft_contrastive_batch_size"]);

/** What the demo fixes in every CRAFT run, in words. */
export function fixedForAll(strategy: CraftStrategy): string {
  return strategy === "paired_dataset"
    ? `Every step has a supervised batch of ${rowsPerStep} rows, the same in SFT and in every CRAFT run, and with CRAFT a contrastive batch of ${rowsPerStep} pairs beside it (gradient_accumulation_steps 2, craft_beta 0.5).`
    : `Every step has a supervised batch of ${rowsPerStep} rows, the same in SFT and in every CRAFT run; with CRAFT (self_align) the rows are pairs as well, prompt against answer (gradient_accumulation_steps 1, craft_beta 0).`;
}

const count = (n: number): string => n.toLocaleString("en");

function remarksOn({ preset, strategy }: CraftRun, { values }: CRAFTSFTConfig, steps: number): string[] {
  const own = preset === undefined ? {} : getPreset(preset);
  const remarks: string[] = [];
  if (own.craftBetaMode === "auto" || own.craftLengthStrategy === "auto_beta")
    remarks.push(
      strategy === "paired_dataset"
        ? "craft_beta_mode auto and craft_length_strategy auto_beta give way to the fixed craft_beta"
        : "craft_beta_mode auto and craft_length_strategy auto_beta have no effect: rows that are pairs as well need no share",
    );
  if (values.craftUseGradcache) {
    const chunk = values.craftGradcacheChunkSize;
    remarks.push(
      chunk < rowsPerStep
        ? `GradCache changes no score but by rounding: it gives the gradient of the batch of ${rowsPerStep} in chunks of ${chunk}, for less memory and more time`
        : `GradCache has no effect: a chunk of ${chunk} holds the batch of ${rowsPerStep}`,
    );
  }
  const passing = steps * rowsPerStep;
  if (values.craftNegativeStrategy === "queue" && passing < values.craftNegativeQueueSize)
    remarks.push(
      `the queue of ${count(values.craftNegativeQueueSize)} never fills: at most ${count(passing)} positives pass in ${count(steps)} steps`,
    );
  return remarks;
}
