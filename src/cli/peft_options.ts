/** @file The options of run files that are about adapters, with the names of TRL and PEFT. */
import { z } from "zod";
import { CraftError } from "../errors.js";
import { biasModes, type LoraOptions } from "../peft/index.js";
import { optionName } from "../training/index.js";

const name = z.string().min(1);
const names = z.union([name, z.array(name).min(1)]);
const block = z.int().min(0);

/** Fields of a run file beside the trainer's. What their values must be is checked with the adapter's other options. */
export const peftFields = {
  usePeft: z.boolean().default(false),
  loraR: z.number().optional(),
  loraAlpha: z.number().optional(),
  loraDropout: z.number().optional(),
  loraTargetModules: names.optional(),
  loraModulesToSave: z.array(name).min(1).optional(),
  useRslora: z.boolean().optional(),
  useDora: z.boolean().optional(),
  rankPattern: z.record(name, z.number()).optional(),
  alphaPattern: z.record(name, z.number()).optional(),
  excludeModules: names.optional(),
  layersToTransform: z.union([block, z.array(block).min(1)]).optional(),
  layersPattern: names.optional(),
  initLoraWeights: z.union([z.boolean(), name]).optional(),
  bias: z.enum(biasModes).optional(),
};

type PeftFields = z.output<z.ZodObject<typeof peftFields>>;

/**
 * The adapter that a run file asks for; undefined where it asks for none.
 *
 * @throws CraftError for an option of adapters without `use_peft`.
 */
export function peftConfigOf(data: PeftFields): LoraOptions | undefined {
  if (data.usePeft) {
    const { useRslora, useDora, rankPattern, alphaPattern, excludeModules } = data;
    const { layersToTransform, layersPattern, initLoraWeights, bias } = data;
    return {
      r: data.loraR,
      loraAlpha: data.loraAlpha,
      loraDropout: data.loraDropout,
      targetModules: data.loraTargetModules,
      modulesToSave: data.loraModulesToSave,
      useRslora,
      useDora,
      rankPattern,
      alphaPattern,
      excludeModules,
      layersToTransform,
      layersPattern,
      initLoraWeights,
      bias,
    };
  }
  const stray = (Object.keys(peftFields) as (keyof PeftFields)[]).find(
    (field) => field !== "usePeft" && data[field] !== undefined,
  );
  if (stray === undefined) return undefined;
  throw new CraftError({
    subject: optionName(stray),
    value: data[stray],
    reason: "has no effect without adapters",
    remedy: "Give use_peft: true, or leave it out.",
  });
}
