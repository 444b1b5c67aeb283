/** @file Which rows each window of an epoch holds, for either strategy. */
import { BatchSampler, type BatchSamplerOptions } from "../../data/sampler.js";
import { mixingSchedule, splitWindow, type BetaMode, type LengthStrategy, type Share } from "./schedule.js";

/** What a batch is for; "self_align" rows give both losses in one forward. */
export type CraftObjective = "sft" | "contrastive" | "self_align";

export interface PlannedBatch {
  readonly objective: CraftObjective;
  /** Rows of the SFT dataset, or for "contrastive" of the contrastive one. */
  readonly rows: Uint32Array;
}

/** All epochs of a run; a pure function of its options. */
export interface WindowPlan {
  readonly windows: number;
  readonly microBatches: number;
  /** The share of SFT among the micro-batches that was asked for, or that the numbers of batches give. */
  readonly beta: number;
  readonly notices: readonly string[];
  window(epoch: number, index: number): PlannedBatch[];
}

export interface PlanOptions {
  readonly sft: Pick<BatchSamplerOptions, "rows" | "batchSize" | "dropLast" | "lengths">;
  readonly contrastiveBatchSize: number;
  readonly minimumPairs: number;
  readonly gradientAccumulationSteps: number;
  readonly beta: number;
  readonly betaMode: BetaMode;
  readonly seed: number;
  readonly shuffle: boolean;
}

export interface PairedPlanOptions extends PlanOptions {
  readonly lengthStrategy: LengthStrategy;
  readonly contrastive: Pick<BatchSamplerOptions, "rows" | "lengths" | "groups">;
}

/**
 * SFT batches and batches of pairs from two datasets. The SFT rows of an epoch are those of a plain SFT run of the same
 * seed. Pass p over the pairs has its own order; unless the schedule restarts, passes follow each other across epochs.
 */
export function pairedPlan(options: PairedPlanOptions): WindowPlan {
  const { seed, shuffle, beta, contrastiveBatchSize, contrastive } = options;
  const minimumPairs = beta < 1 ? options.minimumPairs : 1;
  const sft = new BatchSampler({ ...options.sft, seed, shuffle });
  const pairs = new BatchSampler({
    ...contrastive,
    batchSize: contrastiveBatchSize,
    smallestBatch: minimumPairs,
    stream: "contrastive order",
    seed,
    shuffle,
  });
  const schedule = mixingSchedule({ ...options, sftBatches: sft.length, contrastiveBatches: pairs.length });
  const merged = contrastive.rows % contrastiveBatchSize;
  const notices = [...schedule.notices];
  if (merged > 0 && merged < minimumPairs) {
    notices.push(
      `the last contrastive batch has ${contrastiveBatchSize + merged} pairs: one alone would have no negative`,
    );
  }
  return {
    windows: schedule.windows,
    microBatches: schedule.epoch.sft + schedule.epoch.contrastive,
    beta: schedule.beta,
    notices,
    window: (epoch, index) => {
      const [from, to] = [schedule.before(index), schedule.before(index + 1)];
      const batches: PlannedBatch[] = [];
      for (let i = from.sft; i < to.sft; i++) batches.push({ objective: "sft", rows: sft.batch(epoch, i) });
      for (let i = from.contrastive; i < to.contrastive; i++) {
        const place = schedule.restarts ? epoch * pairs.length + i : epoch * schedule.epoch.contrastive + i;
        const rows = pairs.batch(Math.floor(place / pairs.length), place % pairs.length);
        batches.push({ objective: "contrastive", rows });
      }
      return batches;
    },
  };
}

/**
 * Batches of one dataset, whose "self_align" batches stand for both objectives. Every row comes once an epoch. The last
 * window holds the rows that are left, divided in like proportion; a row that would be a pair without a negative joins
 * the batch before.
 */
export function selfAlignPlan(options: PlanOptions): WindowPlan {
  const { gradientAccumulationSteps: steps, contrastiveBatchSize, seed, shuffle, sft } = options;
  const beta = options.betaMode === "auto" ? 0.5 : options.beta;
  const split = splitWindow(beta, steps);
  const single = steps === 1 && beta > 0 && beta < 1;
  const shape: Share = single ? { sft: 0, contrastive: 1 } : split;
  const smallest = shape.contrastive > 0 ? options.minimumPairs : 1;
  const full = shape.sft * sft.batchSize + shape.contrastive * contrastiveBatchSize;
  const sampler = new BatchSampler({ ...sft, batchSize: full, smallestBatch: smallest, seed, shuffle });
  const window = (epoch: number, index: number): PlannedBatch[] => {
    const rows = sampler.batch(epoch, index);
    const share = Math.round((rows.length * shape.contrastive * contrastiveBatchSize) / full);
    const paired = shape.contrastive === 0 ? 0 : Math.min(rows.length, Math.max(smallest, share));
    // What a full window has beyond its shape is a tail that joined it; it belongs to the pairs.
    const plain = Math.min(rows.length - paired, shape.sft * sft.batchSize);
    return [
      ...chunks(rows.subarray(0, plain), sft.batchSize, 1, "sft"),
      ...chunks(rows.subarray(plain), contrastiveBatchSize, smallest, "self_align"),
    ];
  };
  const last = window(0, sampler.length - 1).length;
  return {
    windows: sampler.length,
    microBatches: (sampler.length - 1) * (shape.sft + shape.contrastive) + last,
    beta,
    notices: single
      ? ["gradientAccumulationSteps = 1: every micro-batch gives both losses, whatever beta is"]
      : [],
    window,
  };
}

/** Consecutive pieces of `size` rows; a last piece of fewer than `smallest` joins the one before. */
function chunks(
  rows: Uint32Array,
  size: number,
  smallest: number,
  objective: CraftObjective,
): PlannedBatch[] {
  const batches: PlannedBatch[] = [];
  for (let start = 0; start < rows.length;) {
    const left = rows.length - start;
    const take = left <= size || left - size < smallest ? left : size;
    batches.push({ objective, rows: rows.subarray(start, start + take) });
    start += take;
  }
  return batches;
}
