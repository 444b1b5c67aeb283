/** @file Where a CRAFT trainer's rows, pairs and batches come from, and what is refused of them. */
import type { LanguageModelingBatch } from "../data/collator.js";
import type { Dataset } from "../data/dataset.js";
import type { Loader } from "../data/loader.js";
import { refuseUnknown } from "../data/options.js";
import { column } from "../data/tokens.js";
import { CraftError } from "../errors.js";
import { datasetOf, type Rows } from "../trainers/rows.js";
import type { CraftArguments } from "./config.js";
import {
  CRAFTCollator,
  defaultContrastiveKeys,
  makeCraftDatasets,
  type CRAFTCollatorOptions,
  type CraftDatasetBundle,
  type ContrastiveColumns,
  type CraftStrategy,
  type PairBatch,
  type SelfAlignBatch,
} from "./data/index.js";
import { shownTask } from "./data/schedule.js";

/** Loaders that take the place of the trainer's own. */
export interface CraftLoaders<Batch = LanguageModelingBatch> {
  /** Batches of the base objective. */
  readonly sft: Loader<Batch>;
  readonly contrastive: Loader<PairBatch | SelfAlignBatch>;
}

/** What a factory of loaders is told. */
export interface CraftLoaderContext {
  readonly sftDataset: Dataset<object>;
  /** Pairs; undefined for self-align. */
  readonly contrastiveDataset: Dataset<object> | undefined;
  readonly strategy: CraftStrategy;
  readonly collator: CRAFTCollator;
  readonly batchSize: number;
  readonly contrastiveBatchSize: number;
  readonly seed: number;
}

export type CraftLoaderFactory<Batch = LanguageModelingBatch> = (
  context: CraftLoaderContext,
) => CraftLoaders<Batch> | Promise<CraftLoaders<Batch>>;

/** Where a CRAFT trainer's data comes from. */
export interface CraftDataOptions<Batch = LanguageModelingBatch> {
  /** What to train on, from {@link makeCraftDatasets}; or give contrastiveDataset. */
  readonly craftBundle?: CraftDatasetBundle<object, object> | undefined;
  /** Pairs: tokens in input_ids and input_ids_tgt, or text in the columns that contrastiveColumns names. */
  readonly contrastiveDataset?: Rows | undefined;
  /** The columns of text in contrastive datasets. */
  readonly contrastiveColumns?: ContrastiveColumns | undefined;
  /** Pairs to report contrastive loss and accuracy on at each evaluation. */
  readonly contrastiveEvalDataset?: Rows | undefined;
  /** Pads pairs; what it leaves open it takes over from the trainer. */
  readonly craftCollator?: CRAFTCollator | undefined;
  /** Batches of the base objective, in the place of those made of the training data. */
  readonly craftSftLoader?: Loader<Batch> | undefined;
  /** Batches of pairs, in the place of those made of the contrastive data. */
  readonly craftContrastiveLoader?: Loader<PairBatch | SelfAlignBatch> | undefined;
  /** Makes both loaders when training begins. Not together with loaders. */
  readonly craftLoaderFactory?: CraftLoaderFactory<Batch> | undefined;
}

/** @throws CraftError for two sources of pairs or of batches, and a bundle made for another strategy. */
export function bundleOf(
  options: CraftDataOptions<unknown> & { readonly trainDataset: Rows },
  args: CraftArguments,
): CraftDatasetBundle<object, object> {
  const { craftBundle, contrastiveDataset, trainDataset, craftLoaderFactory } = options;
  if (craftLoaderFactory !== undefined) {
    for (const other of ["craftSftLoader", "craftContrastiveLoader"] as const)
      if (options[other] !== undefined) throw twice("craftLoaderFactory", other);
  }
  if (craftBundle !== undefined) {
    if (contrastiveDataset !== undefined) throw twice("contrastiveDataset", "craftBundle, which has one");
    if (args.craftStrategy !== undefined && args.craftStrategy !== craftBundle.strategy)
      throw new CraftError({
        subject: "craft_strategy",
        value: args.craftStrategy,
        reason: `the bundle was made for ${craftBundle.strategy}`,
      });
    return craftBundle;
  }
  return makeCraftDatasets<object, object>(datasetOf(trainDataset, "train_dataset"), {
    ...(contrastiveDataset === undefined
      ? {}
      : { contrastiveDataset: datasetOf(contrastiveDataset, "contrastive_dataset") }),
    ...(args.craftStrategy === undefined ? {} : { strategy: args.craftStrategy }),
  });
}

const twice = (subject: string, other: string): CraftError =>
  new CraftError({ subject, reason: `is given beside ${other}`, remedy: "Give one of both." });

/** SFT rows whose columns have other names, with the standard ones. */
export function withStandardColumns(rows: Rows, name: string, args: CraftArguments): Rows {
  const { craftContrastiveKeys: keys, craftAssistantMaskKey: maskKey } = args;
  const others = [
    [maskKey, "assistant_masks"],
    ...(["anchorInputIds", "anchorAttentionMask", "anchorLabels"] as const).map(
      (key) => [keys[key] ?? defaultContrastiveKeys[key], defaultContrastiveKeys[key]] as const,
    ),
  ].filter(([own, standard]) => own !== standard) as readonly (readonly [string, string])[];
  if (others.length === 0) return rows;
  return datasetOf(rows, name).map((row) => {
    const renamed: Record<string, unknown> = { ...row };
    for (const [own, standard] of others) if (Object.hasOwn(row, own)) renamed[standard] = column(row, own);
    return renamed;
  });
}

/**
 * The collator of a run: the user's, which takes over what it leaves open, or a new one.
 *
 * @throws CraftError for a collator that was told other things than the trainer.
 */
export function collatorOf(given: CRAFTCollator | undefined, settings: CRAFTCollatorOptions): CRAFTCollator {
  if (given === undefined) return new CRAFTCollator(settings);
  const { keys, assistantMaskKey } = given.options;
  for (const [option, value, remedy] of [
    ["keys", keys, "Name them in craft_contrastive_keys"],
    ["assistantMaskKey", assistantMaskKey, "Name it in craft_assistant_mask_key"],
  ] as const) {
    if (value === undefined) continue;
    const reason = "the collator of a trainer gets rows in columns of the standard names";
    throw new CraftError({ subject: `dataCollator, option ${option}`, value, reason, remedy });
  }
  given.complete(settings);
  return given;
}

/** @throws CraftError unless a factory gave what it should. */
export function checkLoaders<Batch>(made: CraftLoaders<Batch>): CraftLoaders<Batch> {
  const subject = "craftLoaderFactory";
  if (typeof made !== "object" || made === null)
    throw new CraftError({ subject, value: made, reason: "must return { sft, contrastive }" });
  refuseUnknown(`result of ${subject}`, made, ["sft", "contrastive"]);
  for (const kind of ["sft", "contrastive"] as const) {
    const loader: unknown = made[kind];
    if (
      typeof loader === "object" &&
      loader !== null &&
      Symbol.asyncIterator in loader &&
      "restore" in loader
    )
      continue;
    throw new CraftError({
      subject: `${subject}, ${kind}`,
      reason: "is no loader: { length, state, restore } to iterate over",
    });
  }
  return made;
}

export const noNegatives = (size: number | null): CraftError =>
  new CraftError({
    subject: "craft_contrastive_batch_size",
    value: size ?? "per_device_train_batch_size = 1",
    reason: "a contrastive batch of one pair has no negatives, so there is nothing to contrast",
    remedy: "Set it to 2 or more",
  });

/**
 * @param base the task of the base objective
 * @param shared whether contrastive batches give the base loss too
 * @throws CraftError for an alpha that leaves out the only loss that beta lets run.
 */
export function requireSomethingToLearn(
  { craftAlpha: alpha }: Pick<CraftArguments, "craftAlpha">,
  beta: number,
  base: string,
  shared: boolean,
): void {
  const only = beta === 1 ? shownTask(base) : beta === 0 && !shared ? "contrastive" : undefined;
  if (only === undefined || alpha !== (beta === 1 ? 0 : 1)) return;
  throw new CraftError({
    subject: "craft_alpha",
    value: alpha,
    reason: `leaves out the ${only} loss, and with craft_beta = ${beta} there is no other: nothing would be learnt`,
    remedy: "Change craft_alpha or craft_beta",
  });
}

/**
 * @param modelDraws whether the model, or its adapter, has dropout
 * @throws CraftError where two passes over a row would give the same vector, so that they are no two views.
 */
export function requireDropout(
  args: Pick<CraftArguments, "craftSelfAlignViews" | "craftProjectionDropout" | "craftProjectionDim">,
  modelDraws: boolean,
): void {
  if (args.craftSelfAlignViews !== "dropout" || modelDraws) return;
  if (args.craftProjectionDropout > 0 && args.craftProjectionDim !== null) return;
  throw new CraftError({
    subject: "craft_self_align_views",
    value: "dropout",
    reason:
      "neither the model, nor its adapter, nor the projection head has any dropout, so both passes over a row would be identical",
    remedy: "Set lora_dropout or craft_projection_dropout",
  });
}

/**
 * A causal model has seen nothing but the first token there: where all texts begin with the same one, "cls" gives one
 * vector for all.
 *
 * @throws CraftError in that case.
 */
export async function requireDifferentBeginnings(
  pairs: Dataset<{ readonly input_ids: Int32Array; readonly input_ids_tgt?: Int32Array }>,
): Promise<void> {
  const begins = async (i: number): Promise<number[]> => {
    const { input_ids: anchor, input_ids_tgt: positive } = await pairs.row(i);
    return [anchor[0]!, (positive ?? anchor)[0]!];
  };
  const [first] = await begins(0);
  for (let i = 0; i < pairs.length; i++) if ((await begins(i)).some((id) => id !== first)) return;
  throw new CraftError({
    subject: "craft_pooling",
    value: "cls",
    reason: `every text of ${pairs.name} begins with the token ${first}, and the model has seen no other there: all vectors would be identical`,
    remedy: "Use craft_pooling last_token or mean",
  });
}
