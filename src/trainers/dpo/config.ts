import { z } from "zod";
import { CraftError } from "../../errors.js";
import { optionName, parseOptions } from "../../training/arguments.js";
import { preferenceFields } from "../preference/fields.js";
import { divergences, pairLosses, type PairLoss } from "./losses.js";

/** The values of `loss_type`. */
export const dpoLosses = [...pairLosses, "sft"] as const;
export type DPOLoss = (typeof dpoLosses)[number];

const loss = z.enum(dpoLosses);

/** The options of direct preference optimisation, with TRL's names. */
export const dpoFields = {
  ...preferenceFields,
  beta: z.number().positive().default(0.1).describe("How much leaving the reference costs."),
  lossType: z
    .union([loss, z.array(loss).min(1)])
    .default("sigmoid")
    .describe("The loss, or several that are added up."),
  lossWeights: z.array(z.number()).optional().describe("What each of several losses counts; 1 by default."),
  labelSmoothing: z
    .number()
    .min(0)
    .lt(0.5)
    .default(0)
    .describe("Share of pairs that are labelled the wrong way round, for exo_pair, robust and aot."),
  fDivergenceType: z
    .enum(divergences)
    .default("reverse_kl")
    .describe("The divergence that keeps the policy near its reference."),
  fAlphaDivergenceCoef: z.number().optional().describe("Alpha of alpha_divergence; 0.5 by default."),
  discopopTau: z.number().positive().optional().describe("Temperature of discopop; 0.05 by default."),
  ldAlpha: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe("What tokens count beyond the length of the shorter answer (LD-DPO)."),
  useWeighting: z.boolean().default(false).describe("Weigh pairs by how likely the policy finds them (WPO)."),
  referenceFree: z
    .boolean()
    .default(false)
    .describe("Do without a reference: one that finds all answers equally likely."),
  precomputeRefLogProbs: z
    .boolean()
    .default(false)
    .describe("Compute the reference's log-probabilities once, before training, and keep them on disk."),
  precomputeRefBatchSize: z
    .int()
    .min(1)
    .optional()
    .describe("Pairs at a time in that; by default as in training or evaluation."),
  syncRefModel: z
    .boolean()
    .default(false)
    .describe("Let the reference follow the policy (TR-DPO); without adapters."),
  refModelMixupAlpha: z
    .number()
    .positive()
    .max(1)
    .optional()
    .describe("Share of the policy that comes into the reference; 0.6 by default."),
  refModelSyncSteps: z.int().min(1).optional().describe("After how many steps; 512 by default."),
};

export const dpoSchema = z.strictObject(dpoFields);
export type DPOOptions = z.input<typeof dpoSchema>;
export type DPOArguments = z.output<typeof dpoSchema>;

/** The options of {@link DPOTrainer}, checked; see `dpoFields` for each. Names may be camelCase or snake_case. */
export class DPOConfig {
  readonly values: DPOArguments;

  constructor(options: DPOOptions | Readonly<Record<string, unknown>> = {}) {
    this.values = parseOptions(dpoSchema, { ...options }, "DPOConfig");
    checkDPO(this.values);
  }
}

/** A loss with what it counts. */
export interface WeightedLoss<Name extends DPOLoss = DPOLoss> {
  readonly name: Name;
  readonly weight: number;
}

/** The losses that the options ask for. */
export function weightedLosses({ lossType, lossWeights }: DPOArguments): {
  readonly pairs: readonly WeightedLoss<PairLoss>[];
  /** What the token loss of chosen answers counts; undefined where it is not asked for. */
  readonly sft: number | undefined;
} {
  const names = typeof lossType === "string" ? [lossType] : lossType;
  const all = names.map((name, i): WeightedLoss => ({ name, weight: lossWeights?.[i] ?? 1 }));
  const sft = all.filter(({ name }) => name === "sft");
  return {
    pairs: all.filter((one): one is WeightedLoss<PairLoss> => one.name !== "sft"),
    sft: sft.length === 0 ? undefined : sft.reduce((sum, { weight }) => sum + weight, 0),
  };
}

const smoothing: readonly DPOLoss[] = ["exo_pair", "robust", "aot", "aot_unpaired"];
/** Those whose loss depends on the difference of scores alone, of which what a divergence leaves open drops out. */
const ofDifferences: readonly DPOLoss[] = [
  "sigmoid",
  "sigmoid_norm",
  "hinge",
  "ipo",
  "exo_pair",
  "robust",
  "discopop",
  "sft",
];
const sorting: readonly DPOLoss[] = ["aot", "aot_unpaired"];

/** @throws CraftError for options that do not go together, or do nothing beside the others. */
export function checkDPO(args: DPOArguments): void {
  const { lossType, lossWeights, labelSmoothing } = args;
  const names = typeof lossType === "string" ? [lossType] : lossType;
  const refuse = (name: keyof DPOArguments, reason: string, remedy: string): never => {
    throw new CraftError({ subject: optionName(name), value: args[name], reason, remedy });
  };
  const idle = (name: keyof DPOArguments, reason: string): never =>
    refuse(name, `has no effect: ${reason}`, "Leave it out, or change the other option.");
  if (lossWeights !== undefined && lossWeights.length !== names.length)
    refuse(
      "lossWeights",
      `are ${lossWeights.length} for ${names.length} losses`,
      "Give one for each loss_type.",
    );
  if (names.every((name) => name === "sft"))
    refuse("lossType", "sft alone prefers nothing", "Add a loss over pairs, or use an SFTTrainer.");
  if (labelSmoothing > 0 && !names.some((name) => smoothing.includes(name)))
    idle("labelSmoothing", `only ${smoothing.join(", ")} know of wrong labels`);
  if (labelSmoothing === 0 && names.includes("exo_pair"))
    refuse("labelSmoothing", "must be greater than 0 for exo_pair", "Its authors recommend 1e-3.");
  const strange = names.find((name) => !ofDifferences.includes(name));
  if (args.fDivergenceType !== "reverse_kl" && strange !== undefined)
    refuse(
      "fDivergenceType",
      `${strange} does not depend on the difference of both scores alone, which is what other divergences give`,
      `Use it with ${ofDifferences.join(", ")}.`,
    );
  if (args.fAlphaDivergenceCoef !== undefined && args.fDivergenceType !== "alpha_divergence")
    idle("fAlphaDivergenceCoef", "f_divergence_type is not alpha_divergence");
  if (args.discopopTau !== undefined && !names.includes("discopop"))
    idle("discopopTau", "loss_type is not discopop");
  if (args.useWeighting && names.some((name) => sorting.includes(name) || name === "sft"))
    refuse(
      "useWeighting",
      "weighs pairs, which aot sorts apart and sft does not have",
      "Leave one of both out.",
    );
  if (args.precomputeRefBatchSize !== undefined && !args.precomputeRefLogProbs)
    idle("precomputeRefBatchSize", "precompute_ref_log_probs is not set");
  for (const name of ["refModelMixupAlpha", "refModelSyncSteps"] as const)
    if (args[name] !== undefined && !args.syncRefModel) idle(name, "sync_ref_model is not set");
  const moving = (["precomputeRefLogProbs", "referenceFree"] as const).find((name) => args[name]);
  if (args.syncRefModel && moving !== undefined)
    refuse(
      "syncRefModel",
      `there is no reference that could move with ${optionName(moving)}`,
      "Leave one of both out.",
    );
  if (args.referenceFree && args.precomputeRefLogProbs)
    idle("precomputeRefLogProbs", "reference_free has none");
}
