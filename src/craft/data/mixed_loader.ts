/** @file Windows of SFT and contrastive micro-batches, one window for each optimiser step. */
import type { LanguageModelingBatch } from "../../data/collator.js";
import type { Dataset } from "../../data/dataset.js";
import { collateRows, LoaderPlace, type Collate, type LoaderState } from "../../data/loader.js";
import { refuseUnknown } from "../../data/options.js";
import type { MicroBatch, WindowLoader } from "../../data/windows.js";
import { CraftError } from "../../errors.js";
import type { CraftDatasetBundle } from "./bundle.js";
import type { CRAFTCollator, PairBatch, SelfAlignBatch } from "./collator.js";
import { pairedPlan, selfAlignPlan, type PlanOptions, type WindowPlan } from "./plan.js";
import type { BetaMode, LengthStrategy } from "./schedule.js";

/** A micro-batch of a CRAFT window. "self_align" batches give the SFT and the contrastive loss in one forward. */
export type CraftMicroBatch<SftBatch = LanguageModelingBatch> =
  | MicroBatch<"sft", SftBatch>
  | MicroBatch<"contrastive", PairBatch>
  | MicroBatch<"self_align", SelfAlignBatch>;

export interface CRAFTMixedDataLoaderOptions<R extends object, P extends object, SftBatch> {
  /** Tokenised rows. */
  readonly bundle: CraftDatasetBundle<R, P>;
  readonly collator: CRAFTCollator;
  /** Makes the SFT batches. */
  readonly collateSft: Collate<R, SftBatch>;
  /** Rows in an SFT micro-batch. */
  readonly batchSize: number;
  /** Pairs in a contrastive micro-batch. Default `batchSize`; at least 2 unless the collator allows 1. */
  readonly contrastiveBatchSize?: number;
  readonly gradientAccumulationSteps: number;
  /** The share of a window's micro-batches that are SFT, from 0 to 1. Default 0.6. */
  readonly beta?: number;
  /** Default "fixed". */
  readonly betaMode?: BetaMode;
  /** Default "oversample". */
  readonly lengthStrategy?: LengthStrategy;
  /** Default 42. */
  readonly seed?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Leave out an SFT batch at the end of the epoch that is not full. Default false. For paired datasets only. */
  readonly dropLast?: boolean;
  /** Number of tokens in each SFT row: rows of like length then share a batch. */
  readonly lengths?: ArrayLike<number>;
  /** Number of tokens in each pair. */
  readonly contrastiveLengths?: ArrayLike<number>;
  /** One number for each pair, the same for pairs with the same positive side: no batch is made of such alone. */
  readonly contrastiveGroups?: ArrayLike<number>;
  /** Told once, at the start, of settings that act otherwise than they read and of data that is left out. */
  readonly onNotice?: (notice: string) => void;
}

const optionNames = [
  "bundle",
  "collator",
  "collateSft",
  "batchSize",
  "contrastiveBatchSize",
  "gradientAccumulationSteps",
  "beta",
  "betaMode",
  "lengthStrategy",
  "seed",
  "shuffle",
  "dropLast",
  "lengths",
  "contrastiveLengths",
  "contrastiveGroups",
  "onNotice",
] as const;

/**
 * Mixes SFT and contrastive micro-batches into windows: first the SFT ones, then the contrastive ones. How many of each
 * is what {@link mixingSchedule} says. What a window holds is a pure function of the options, its epoch and its index.
 *
 * With "self_align", each row comes once an epoch; the contrastive share of a window is "self_align" batches, which
 * count for both objectives, and the length strategy has nothing to match.
 */
export class CRAFTMixedDataLoader<
  R extends object,
  P extends object,
  SftBatch = LanguageModelingBatch,
> implements WindowLoader<CraftMicroBatch<SftBatch>> {
  /** Optimiser steps in an epoch. */
  readonly stepsPerEpoch: number;
  /** Micro-batches in an epoch. */
  readonly length: number;
  /** The share of SFT micro-batches that was asked for, or that the numbers of batches give. */
  readonly beta: number;
  readonly notices: readonly string[];
  private readonly options: CRAFTMixedDataLoaderOptions<R, P, SftBatch>;
  private readonly plan: WindowPlan;
  private readonly place: LoaderPlace;

  constructor(options: CRAFTMixedDataLoaderOptions<R, P, SftBatch>) {
    refuseUnknown("CRAFTMixedDataLoader", options, optionNames);
    this.options = options;
    this.plan = makePlan(options);
    this.stepsPerEpoch = this.plan.windows;
    this.length = this.plan.microBatches;
    this.beta = this.plan.beta;
    this.notices = this.plan.notices;
    this.place = new LoaderPlace(this.stepsPerEpoch);
    for (const notice of this.notices) options.onNotice?.(notice);
  }

  /** The next window: `position` counts windows. */
  state(): LoaderState {
    return this.place.state();
  }

  restore(state: LoaderState): void {
    this.place.restore(state);
  }

  /** The windows that are left of the current epoch. */
  async *[Symbol.asyncIterator](): AsyncGenerator<readonly CraftMicroBatch<SftBatch>[]> {
    const { bundle, collator, collateSft } = this.options;
    for (const { epoch, position } of this.place.restOfEpoch()) {
      const window: CraftMicroBatch<SftBatch>[] = [];
      for (const { objective, rows } of this.plan.window(epoch, position)) {
        if (objective === "sft") {
          window.push({ objective, batch: await collateRows(bundle.sft, rows, collateSft) });
        } else if (objective === "self_align") {
          window.push({ objective, batch: await collateRows(bundle.sft, rows, collator.collateSelfAlign) });
        } else {
          window.push({ objective, batch: await collateRows(pairsOf(bundle), rows, collator.collatePairs) });
        }
      }
      yield window;
    }
  }
}

function makePlan<R extends object, P extends object, SftBatch>(
  options: CRAFTMixedDataLoaderOptions<R, P, SftBatch>,
): WindowPlan {
  const { bundle, collator, batchSize, lengths, contrastiveLengths, contrastiveGroups } = options;
  const {
    contrastiveBatchSize = batchSize,
    beta = 0.6,
    betaMode = "fixed",
    seed = 42,
    shuffle = true,
  } = options;
  const { minimumPairs } = collator;
  if (beta < 1 && contrastiveBatchSize < minimumPairs) {
    throw new CraftError({
      subject: "contrastiveBatchSize",
      value: contrastiveBatchSize,
      reason: "a contrastive batch of one pair has no negatives, so there is nothing to contrast",
      remedy: "Use 2 or more",
    });
  }
  const common: PlanOptions = {
    sft: {
      rows: bundle.sft.length,
      batchSize,
      ...(options.dropLast !== undefined && { dropLast: options.dropLast }),
      ...(lengths && { lengths }),
    },
    contrastiveBatchSize,
    minimumPairs,
    gradientAccumulationSteps: options.gradientAccumulationSteps,
    beta,
    betaMode,
    seed,
    shuffle,
  };
  if (bundle.strategy === "self_align") {
    if (options.dropLast === true) {
      throw new CraftError({ subject: "dropLast", value: true, reason: "is for paired datasets only" });
    }
    return selfAlignPlan(common);
  }
  const rows = bundle.contrastive.length;
  if (beta < 1 && rows < minimumPairs) {
    throw new CraftError({
      subject: bundle.contrastive.name,
      reason: `${rows} pair${rows === 1 ? " has" : "s have"} no negatives, so there is nothing to contrast`,
      remedy: "Give two pairs or more",
    });
  }
  return pairedPlan({
    ...common,
    lengthStrategy: options.lengthStrategy ?? "oversample",
    contrastive: {
      rows,
      ...(contrastiveLengths && { lengths: contrastiveLengths }),
      ...(contrastiveGroups && { groups: contrastiveGroups }),
    },
  });
}

function pairsOf<R extends object, P extends object>(bundle: CraftDatasetBundle<R, P>): Dataset<P> {
  if (bundle.strategy === "paired_dataset") return bundle.contrastive;
  throw new CraftError({ subject: "bundle", value: bundle.strategy, reason: "has no dataset of pairs" });
}
