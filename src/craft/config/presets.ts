/** @file Named starting points. */
import { requireOneOf } from "../../data/options.js";
import type { z } from "zod";
import type { craftFields } from "./fields.js";

/** CRAFT's options as they are given. */
export type CraftOptions = z.input<z.ZodObject<typeof craftFields>>;

const evenly = { craftBetaMode: "auto", craftLengthStrategy: "auto_beta" } as const;

const balanced = {
  craftAlpha: 0.6,
  craftGradientBalancing: "loss_scale",
  craftLossScaleMomentum: 0.99,
  craftLearnableTemperature: true,
  ...evenly,
} as const satisfies CraftOptions;

const presets = {
  minimal: {
    craftAlpha: 0.8,
    craftGradientBalancing: "none",
    craftLearnableTemperature: false,
    craftUseGradcache: false,
    craftBetaMode: "fixed",
    craftLengthStrategy: "oversample",
  },
  balanced,
  memory_efficient: {
    ...balanced,
    craftUseGradcache: true,
    craftGradcacheChunkSize: 4,
    craftProjectionDim: 128,
  },
  large_batch: {
    ...balanced,
    craftAlpha: 0.5,
    craftUseGradcache: true,
    craftGradcacheChunkSize: 8,
    craftNegativeStrategy: "queue",
    craftNegativeQueueSize: 65536,
  },
  aggressive: {
    craftAlpha: 0.4,
    craftGradientBalancing: "gradnorm",
    craftGradnormAlpha: 1.5,
    craftLearnableTemperature: true,
    craftUseGradcache: true,
    craftNegativeStrategy: "queue",
    craftNegativeQueueSize: 32768,
    ...evenly,
  },
} as const satisfies Readonly<Record<string, CraftOptions>>;

export type CraftPreset = keyof typeof presets;

/**
 * - "minimal": nothing that learns or is measured on the way; the base objective counts most.
 * - "balanced": where to begin. Both datasets end together, and both losses count alike as they fall.
 * - "memory_efficient": "balanced" with contrastive batches in chunks and a smaller projection.
 * - "large_batch": many negatives, from large batches in chunks and a queue.
 * - "aggressive": the contrastive objective counts most.
 */
export const craftPresets = Object.keys(presets) as readonly CraftPreset[];

/**
 * The options of a preset, as a new object.
 *
 * @throws CraftError for an unknown name, with those that there are.
 */
export function getPreset(name: string): CraftOptions {
  return { ...presets[requireOneOf("preset", name, craftPresets)] };
}

/**
 * The options of a preset that go with what is given beside it: `craftBeta` keeps a preset from taking beta from the
 * data, and an option that another one switches off is left out.
 */
export function presetBeside(name: string, given: ReadonlySet<string>): CraftOptions {
  const options = getPreset(name);
  if (!given.has("craftBeta")) return options;
  for (const option of ["craftBetaMode", "craftLengthStrategy"] as const) delete options[option];
  return options;
}
