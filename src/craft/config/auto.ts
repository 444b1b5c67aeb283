/** @file Options from what there is: the model, the data and the memory. */
import { bucketSize } from "../../data/buckets.js";
import { CraftError } from "../../errors.js";
import type { CausalLM } from "../../models/index.js";
import { memory } from "../../torch/environment.js";
import { bytesPerTrained, encodingBytes } from "../../trainers/memory.js";
import { trainingFields } from "../../training/arguments.js";
import type { CraftArguments } from "./fields.js";

/** What {@link CraftConfig.auto} looks at. */
export interface CraftFacts {
  readonly model: CausalLM;
  /** Number of tokens in each SFT row; `lengths` of prepared rows. */
  readonly sftLengths: ArrayLike<number>;
  /** Number of tokens in the longer side of each pair; `lengths` of prepared pairs. None for self-align. */
  readonly contrastiveLengths?: ArrayLike<number>;
  /** Memory that the run may take. By default what is free now, within a container's limit. */
  readonly freeBytes?: number;
}

/** Options by name, each with the reason for its value. */
export type AutoOptions = {
  -readonly [Name in keyof CraftArguments]?: {
    readonly value: CraftArguments[Name];
    readonly reason: string;
  };
};

/** From as many pairs on, a queue's entries are rarely the pairs of the same batch again. */
const manyPairs = 100_000;

/**
 * @param given options that the user has set, which the others are to go with
 * @throws {@link CraftError} for datasets without a row.
 */
export function autoOptions(facts: CraftFacts, given: Readonly<Record<string, unknown>>): AutoOptions {
  const { sftLengths, contrastiveLengths } = facts;
  for (const [subject, lengths] of Object.entries({ sftLengths, contrastiveLengths }))
    if (lengths?.length === 0) throw new CraftError({ subject, reason: "the dataset has no row" });
  const { hiddenSize } = facts.model.shape;
  const projection = Math.min(256, Math.max(64, Math.floor(hiddenSize / 4)));
  const chosen: AutoOptions = {
    craftProjectionDim: {
      value: projection,
      reason: `a quarter of the hidden size ${hiddenSize}, from 64 to 256`,
    },
  };
  const cache = contrastiveLengths === undefined ? undefined : chunks(facts, contrastiveLengths, given);
  if (cache !== undefined) Object.assign(chosen, cache);
  if (contrastiveLengths !== undefined && contrastiveLengths.length > manyPairs)
    Object.assign(
      chosen,
      queue(facts, contrastiveLengths.length, numberOf(given, "craftProjectionDim") ?? projection),
    );
  return chosen;
}

/** GradCache where a contrastive batch does not fit, with the largest chunk that does. */
function chunks(
  facts: CraftFacts,
  lengths: ArrayLike<number>,
  given: Readonly<Record<string, unknown>>,
): Pick<AutoOptions, "craftUseGradcache" | "craftGradcacheChunkSize"> {
  const pairs = numberOf(given, "craftContrastiveBatchSize") ?? batchSize(given);
  const cut = numberOf(given, "maxLength") ?? Infinity;
  const length = bucketSize(Math.min(longest(lengths), cut), {});
  const needed = (count: number): number => encodingBytes(facts.model, { rows: 2 * count, length });
  const budget = Math.max(0, budgetOf(facts));
  const whole = needed(pairs);
  const needs = `${pairs} pairs of ${length} tokens need about ${mib(whole)} of ${mib(budget)}`;
  if (whole <= budget) return { craftUseGradcache: { value: false, reason: needs } };
  let value = 2 ** Math.floor(Math.log2(pairs));
  let chunk = needed(value);
  while (value > 1 && chunk > budget) chunk = needed((value /= 2));
  return {
    craftUseGradcache: { value: true, reason: needs },
    craftGradcacheChunkSize: { value, reason: `the largest power of two that fits: ${mib(chunk)}` },
  };
}

function queue(
  facts: CraftFacts,
  pairs: number,
  projection: number,
): Pick<AutoOptions, "craftNegativeStrategy" | "craftNegativeQueueSize"> {
  let value = Math.min(65536, Math.floor(pairs / 2));
  // The queue itself, and its cosines with a batch, are a small part of what there is.
  while (value > 1024 && value * projection * 4 > budgetOf(facts) / 8) value = Math.floor(value / 2);
  return {
    craftNegativeStrategy: { value: "queue", reason: `${pairs} pairs, more than ${manyPairs}` },
    craftNegativeQueueSize: {
      value,
      reason: `at most half of the pairs, and an eighth of the memory: ${mib(value * projection * 4)}`,
    },
  };
}

/** Half of what is free once trained weights and AdamW's moments have their float32. */
function budgetOf({ model, freeBytes = memory().free_bytes }: CraftFacts): number {
  const trained = model.trainableParameters().reduce((total, { numel }) => total + numel, 0);
  return (freeBytes - bytesPerTrained * trained) / 2;
}

function longest(lengths: ArrayLike<number>): number {
  let most = 1;
  for (let i = 0; i < lengths.length; i++) most = Math.max(most, lengths[i]!);
  return most;
}

function numberOf(given: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = given[name];
  return typeof value === "number" ? value : undefined;
}

const batchSize = (given: Readonly<Record<string, unknown>>): number =>
  numberOf(given, "perDeviceTrainBatchSize") ?? trainingFields.perDeviceTrainBatchSize.parse(undefined);

const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
