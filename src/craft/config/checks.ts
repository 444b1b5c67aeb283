/** @file Combinations of CRAFT options that cannot mean anything. */
import { CraftError } from "../../errors.js";
import { optionName } from "../../training/arguments.js";
import type { CraftStrategy } from "../data/bundle.js";
import { craftFields, type CraftArguments } from "./fields.js";

/** What CRAFT's options are checked against. */
export interface CheckedArguments extends CraftArguments {
  readonly perDeviceTrainBatchSize: number;
}

type CraftOption = keyof CraftArguments;

/** An option that acts only where another one has a certain value. */
interface Condition {
  readonly option: CraftOption;
  readonly acts: (args: CraftArguments) => boolean;
  readonly otherwise: string;
}

const conditions: readonly Condition[] = [
  {
    option: "craftGradcacheChunkSize",
    acts: (args) => args.craftUseGradcache,
    otherwise: "craft_use_gradcache is false",
  },
  {
    option: "craftNegativeQueueSize",
    acts: (args) => args.craftNegativeStrategy === "queue",
    otherwise: "craft_negative_strategy is not queue",
  },
  {
    option: "craftGradnormAlpha",
    acts: (args) => args.craftGradientBalancing === "gradnorm",
    otherwise: "craft_gradient_balancing is not gradnorm",
  },
  {
    option: "craftLossScaleMomentum",
    acts: (args) => args.craftGradientBalancing === "loss_scale",
    otherwise: "craft_gradient_balancing is not loss_scale",
  },
  {
    option: "craftGradientClipValue",
    acts: (args) => args.craftGradientClipPerTask,
    otherwise: "craft_gradient_clip_per_task is false",
  },
  {
    option: "craftProjectionDropout",
    acts: (args) => args.craftProjectionDim !== null,
    otherwise: "craft_projection_dim is null, so there is no projection head",
  },
  {
    option: "craftAssistantMaskKey",
    acts: (args) => args.craftAssistantMaskStrategy !== "none",
    otherwise: "craft_assistant_mask_strategy is none",
  },
];

const ofSelfAlign: readonly CraftOption[] = [
  "craftSelfAlignViews",
  "craftAssistantMaskStrategy",
  "craftAssistantMaskKey",
];

/** Whether beta is what the numbers of batches give. */
export const takesBetaFromData = (
  args: Pick<CraftArguments, "craftBetaMode" | "craftLengthStrategy">,
): boolean => args.craftBetaMode === "auto" || args.craftLengthStrategy === "auto_beta";

/** Options of `names` that do nothing beside the others, with the reason. */
export function withoutEffect(
  args: CraftArguments,
  names: ReadonlySet<string>,
): { readonly option: CraftOption; readonly otherwise: string }[] {
  return conditions.filter(({ option, acts }) => names.has(option) && !acts(args));
}

/**
 * @param given names of the options that the user set, in camelCase; those that do nothing are refused
 * @throws {@link CraftError} for the first combination that cannot mean anything.
 */
export function checkCraftArguments(args: CheckedArguments, given: ReadonlySet<string>): void {
  for (const { option, otherwise } of withoutEffect(args, changed(args, given)))
    throw idle(args, option, otherwise);
  if (args.craftNegativeStrategy === "none")
    throw complaint(
      args,
      "craftNegativeStrategy",
      "InfoNCE tells a positive from negatives and has no value without any",
      "Use in_batch or queue.",
    );
  if (!args.craftUseHiddenStateHook)
    throw complaint(
      args,
      "craftUseHiddenStateHook",
      "the last hidden states are read where they arise and those of other layers are not kept; there is no other way to switch to",
      "Leave it out.",
    );
  checkBatch(args);
  checkMixing(args);
  if (args.craftStrategy !== undefined) checkStrategy(args, args.craftStrategy, given);
}

/** The checks that need to know where pairs come from. */
export function checkStrategy(
  args: CraftArguments,
  strategy: CraftStrategy,
  given: ReadonlySet<string>,
): void {
  if (strategy === "self_align") {
    checkViews(args);
    const stray = Object.keys(args.craftContrastiveKeys).find((key) => !key.startsWith("anchor"));
    if (stray !== undefined)
      throw complaint(
        args,
        "craftContrastiveKeys",
        `self_align makes pairs of single rows, which have no ${optionName(stray)}`,
      );
    return;
  }
  for (const option of ofSelfAlign)
    if (changed(args, given).has(option))
      throw idle(args, option, "the strategy is paired_dataset, whose pairs are given");
  if (args.craftContrastiveKeys.anchorLabels !== undefined)
    throw complaint(args, "craftContrastiveKeys", "anchor_labels is for self_align: pairs carry no labels");
  const { craftBeta: beta, craftGradientBalancing: balancing } = args;
  if (balancing !== "none" && beta === 0 && !takesBetaFromData(args))
    throw complaint(
      args,
      "craftGradientBalancing",
      "with craft_beta = 0 and pairs of their own there is one task only, and nothing to balance",
    );
}

function checkBatch(args: CheckedArguments): void {
  const pairs = args.craftContrastiveBatchSize ?? args.perDeviceTrainBatchSize;
  if (args.craftNegativeStrategy !== "queue" || args.craftNegativeQueueSize >= pairs) return;
  throw complaint(
    args,
    "craftNegativeQueueSize",
    `is smaller than a contrastive batch of ${pairs} pairs, whose positives are put into it together`,
    "Make the queue larger; it is of use from several batches on.",
  );
}

function checkMixing(args: CraftArguments): void {
  if (args.craftBeta !== 1 || takesBetaFromData(args)) return;
  const idle = "with craft_beta = 1 no contrastive batch is run";
  if (args.craftGradientBalancing !== "none")
    throw complaint(
      args,
      "craftGradientBalancing",
      `${idle}, so there is one task only and nothing to balance`,
    );
  if (args.craftUseGradcache)
    throw complaint(args, "craftUseGradcache", `${idle}, so there is none to cache`);
  if (args.craftNegativeStrategy === "queue")
    throw complaint(
      args,
      "craftNegativeStrategy",
      `${idle}, so nothing is put into the queue or asked of it`,
    );
}

/** Views of one row must differ in what they pool. */
function checkViews(args: CraftArguments): void {
  const { craftSelfAlignViews: views, craftPooling: pooling, craftAssistantMaskStrategy: masks } = args;
  if (views === "dropout") return;
  const other = "Use craft_self_align_views prompt_response.";
  if (masks === "none")
    throw complaint(
      args,
      "craftAssistantMaskStrategy",
      views === "prompt_response"
        ? "makes every token the assistant's, which leaves no prompt to be the anchor"
        : "makes every token the assistant's, so that both views are the whole row and identical",
      "Use auto or provided, or craft_self_align_views dropout.",
    );
  if (views === "full_response" && pooling === "last_token")
    throw complaint(
      args,
      "craftPooling",
      "with craft_self_align_views full_response both views end at the same token and would be identical",
      `Use craft_pooling mean. ${other}`,
    );
  if (pooling === "cls")
    throw complaint(
      args,
      "craftPooling",
      "reads the first token of a view, and that of a row knows nothing of what comes after it, since the model only looks back: anchors would be identical",
      "Use craft_pooling last_token or mean.",
    );
}

/** Of the options given, those that have another value than by default. */
function changed(args: CraftArguments, given: ReadonlySet<string>): ReadonlySet<string> {
  const standard = (option: string): unknown => {
    const field = Object.entries(craftFields).find(([name]) => name === option)?.[1];
    return field?.safeParse(undefined).data;
  };
  const values = new Map<string, unknown>(Object.entries(args));
  return new Set([...given].filter((option) => values.get(option) !== standard(option)));
}

const complaint = (args: CraftArguments, option: CraftOption, reason: string, remedy?: string): CraftError =>
  new CraftError({
    subject: optionName(option),
    value: args[option],
    reason,
    ...(remedy === undefined ? {} : { remedy }),
  });

const idle = (args: CraftArguments, option: CraftOption, otherwise: string): CraftError =>
  complaint(args, option, `has no effect: ${otherwise}`, "Leave it out, or change the other option.");
