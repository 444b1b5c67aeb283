/** @file What a run file says beside the trainer's options. */
import { z } from "zod";
import { craftFields, craftPresets } from "../../craft/index.js";
import { CraftError } from "../../errors.js";
import { optionName, parseOptions } from "../../training/index.js";
import { peftFields } from "../peft_options.js";
import { quantizationFields } from "../quantization_options.js";

const columns = z.strictObject({
  anchor: z.string().min(1),
  positive: z.string().min(1),
  negatives: z.array(z.string().min(1)).min(1).optional(),
});

/** What a run file says beside the trainer's options. */
const dataFields = {
  modelNameOrPath: z.string().min(1),
  refModelNameOrPath: z.string().min(1).optional(),
  modelRevision: z.string().min(1).optional(),
  trainDataset: z.string().min(1),
  datasetConfig: z.string().min(1).optional(),
  datasetTrainSplit: z.string().min(1).optional(),
  datasetTestSplit: z.string().min(1).optional(),
  evalDataset: z.string().min(1).optional(),
  contrastiveDataset: z.string().min(1).optional(),
  contrastiveEvalDataset: z.string().min(1).optional(),
  contrastiveColumns: columns.optional(),
  craftPreset: z.enum(craftPresets).optional(),
  ...peftFields,
  ...quantizationFields,
};
const dataSchema = z.strictObject(dataFields);
export type DataOptions = z.output<typeof dataSchema>;

/** Options of the data, and those of the trainer. */
export function splitOptions(given: Readonly<Record<string, unknown>>): {
  data: DataOptions;
  training: Record<string, unknown>;
} {
  const own: Record<string, unknown> = {};
  const training: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) (name in dataFields ? own : training)[name] = value;
  return { data: parseOptions(dataSchema, own, "run file"), training };
}

/** CRAFT's options do nothing without contrastive data, so that giving them is a mistake worth telling. */
export function refuseCraftOptions(training: Readonly<Record<string, unknown>>, data: DataOptions): void {
  const own = (["contrastiveColumns", "craftPreset"] as const).find((name) => data[name] !== undefined);
  const stray = own ?? Object.keys(training).find((name) => name in craftFields);
  if (stray === undefined) return;
  throw new CraftError({
    subject: optionName(stray),
    value: own === undefined ? training[stray] : data[own],
    reason: "has no effect, since there is no contrastive data",
    remedy: "Give contrastive_dataset, or craft_strategy: self_align.",
  });
}
