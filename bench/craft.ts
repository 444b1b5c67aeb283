/** @file The benchmark of what CRAFT's features cost. */
import type { Benchmark, Setting } from "./benchmark.js";
import type { Floor } from "./compare.js";
import type { Group } from "./rounds.js";
import type { SideSpec } from "./side.js";

/** Kinds of features, each measured beside what it is added to. */
export const craftGroups = ["features", "self-align", "gradcache"] as const;
export type CraftGroup = (typeof craftGroups)[number];

const tasks: Readonly<Record<CraftGroup, string>> = {
  features: "CRAFT-SFT with 4 pairs, LoRA",
  "self-align": "SFT of 4 rows, LoRA",
  gradcache: "CRAFT-SFT with GradCache, LoRA",
};

const floors: Readonly<Record<CraftGroup, readonly Floor[]>> = {
  features: [],
  "self-align": [{ task: tasks["self-align"], peer: "self-align", measure: "cost", bound: 1.1 }],
  gradcache: [{ task: tasks.gradcache, peer: "256 pairs", measure: "growth", bound: 1.3 }],
};

interface Variant {
  readonly name: string;
  readonly label: string;
  readonly flags: readonly string[];
  readonly config?: Readonly<Record<string, unknown>>;
}

const craft = ["--craft"];
const balanced = (mode: string): Variant => ({
  name: mode,
  label: `gradients balanced by ${mode}`,
  flags: craft,
  config: { craftGradientBalancing: mode },
});
const gradCache = (name: string, label: string, pairs: number, chunk: number): Variant => ({
  name,
  label,
  flags: craft,
  config: { craftContrastiveBatchSize: pairs, craftUseGradcache: true, craftGradcacheChunkSize: chunk },
});

const variants: Readonly<Record<CraftGroup, readonly Variant[]>> = {
  features: [
    { name: "plain", label: "plain", flags: craft },
    {
      name: "queue",
      label: "a queue of 4,096 negatives",
      flags: craft,
      config: { craftNegativeStrategy: "queue", craftNegativeQueueSize: 4096 },
    },
    gradCache("gradcache", "GradCache in chunks of 2 pairs", 4, 2),
    ...["loss_scale", "uncertainty", "gradnorm", "pcgrad"].map(balanced),
    {
      name: "clipped",
      label: "gradients clipped for each task",
      flags: craft,
      config: { craftGradientClipPerTask: true },
    },
    { name: "symmetric", label: "symmetric InfoNCE", flags: craft, config: { craftSymmetric: true } },
  ],
  "self-align": [
    { name: "sft", label: "SFTTrainer", flags: [] },
    { name: "self-align", label: "self-align", flags: ["--self-align"] },
    {
      name: "self-align, measured",
      label: "self-align, both gradients measured in each step",
      flags: ["--self-align"],
      config: { loggingSteps: 1 },
    },
    { name: "paired", label: "4 pairs beside the rows", flags: craft },
  ],
  gradcache: [
    gradCache("16 pairs", "16 pairs in chunks of 4", 16, 4),
    {
      name: "plain",
      label: "16 pairs in one piece",
      flags: craft,
      config: { craftContrastiveBatchSize: 16 },
    },
    gradCache("256 pairs", "256 pairs in chunks of 4", 256, 4),
  ],
};

/** Steps of 256 pairs take minutes. */
const fewRounds = { steps: 1, warmUp: 0, starts: 0 };

/**
 * Sides are our own trainers on the workload of the SFT benchmark, LoRA of rank 8 on q, k, v and o; the first of each
 * group is what the others are compared with.
 */
export function craftBenchmark(only: CraftGroup | undefined): Benchmark {
  const chosen = only === undefined ? craftGroups : [only];
  const group = (name: CraftGroup, { checkpoint, scripts }: Setting): Group => ({
    task: tasks[name],
    relation: "costs",
    ...(name === "gradcache" ? { rounds: fewRounds } : {}),
    specs: variants[name].map(({ name: variant, label, flags, config }, i): SideSpec => {
      const options = config === undefined ? [] : ["--config", JSON.stringify(config)];
      return {
        name: i === 0 ? "ours" : variant,
        label,
        command: process.execPath,
        args: [scripts.path("sft"), "--checkpoint", checkpoint, ...flags, ...options],
      };
    }),
  });
  return {
    name: "craft",
    floors: chosen.flatMap((name) => floors[name]),
    groups: (setting) => chosen.map((name) => group(name, setting)),
  };
}
