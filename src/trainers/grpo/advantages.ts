/** @file From rewards to advantages: how much better an answer is than the others to its prompt. */
import { spread } from "../rollouts/metrics.js";

export const rewardScalings = ["group", "batch", "none"] as const;
export type RewardScaling = (typeof rewardScalings)[number];
export const aggregations = ["sum_then_normalize", "normalize_then_sum"] as const;
export type Aggregation = (typeof aggregations)[number];

/** Added to standard deviations that are divided by. */
const epsilon = 1e-4;

export interface AdvantageOptions {
  /** Completions of each prompt; those of a prompt follow each other. */
  readonly groupSize: number;
  /** One for each reward function. */
  readonly weights: readonly number[];
  /** What differences from the group's mean are divided by: the standard deviation in the group, in the batch, or 1. */
  readonly scaleRewards: RewardScaling;
  readonly aggregation: Aggregation;
}

export interface Advantages {
  /** One for each completion; 0 where no function gave a reward. */
  readonly advantages: readonly number[];
  /** Weighted sums of the rewards; NaN where no function gave one. */
  readonly rewards: readonly number[];
  /** Share of completions among whose likes all rewards are equal. */
  readonly fractionZeroStd: number;
}

/**
 * Advantages of completions, by the rewards of each function [completions][functions], where null is "does not apply".
 *
 * - `sum_then_normalize`: R = sum of w_k r_k; A = (R - mean of the group) / (s + 1e-4), with s the standard deviation
 *   (n - 1) of the group or of the batch, or no division (Shao et al. 2024; Liu et al. 2025).
 * - `normalize_then_sum`: each function's rewards are normalised in the group, summed with weights, and normalised in
 *   the batch.
 *
 * Where all rewards are equal, advantages are exactly 0. As in TRL 1.13.
 */
export function advantagesOf(
  rewards: readonly (readonly (number | null)[])[],
  options: AdvantageOptions,
): Advantages {
  const { groupSize, weights, scaleRewards, aggregation } = options;
  const sums = rewards.map((row) => weightedSum(row, weights));
  if (aggregation === "normalize_then_sum") {
    const normalised = rewards.map((row) => row.map((value) => value ?? NaN));
    for (const k of weights.keys()) {
      const column = standardised(
        normalised.map((row) => row[k]!),
        groupSize,
      );
      column.forEach((value, i) => (normalised[i]![k] = value));
    }
    const totals = normalised.map((row, i) =>
      Number.isNaN(sums[i]) ? NaN : weightedSum(row.map(nullIfNaN), weights),
    );
    const { mean, deviation } = spread(totals);
    return {
      advantages: totals.map((total) => orZero((total - mean) / (deviation + epsilon))),
      rewards: sums,
      fractionZeroStd: isZero(deviation) ? 1 : 0,
    };
  }
  const whole = spread(sums);
  const groups = groupsOf(sums, groupSize).map(spread);
  const advantages = sums.map((sum, i) => {
    const group = groups[Math.floor(i / groupSize)]!;
    const { deviation } = scaleRewards === "batch" ? whole : group;
    const difference = sum - group.mean;
    return orZero(scaleRewards === "none" ? difference : difference / (deviation + epsilon));
  });
  const flat = scaleRewards === "batch" ? [whole] : groups;
  return {
    advantages,
    rewards: sums,
    fractionZeroStd: flat.filter(({ deviation }) => isZero(deviation)).length / flat.length,
  };
}

/** NaN where no function applies. */
function weightedSum(row: readonly (number | null)[], weights: readonly number[]): number {
  if (row.every((value) => value === null)) return NaN;
  return row.reduce<number>((sum, value, k) => sum + (value ?? 0) * weights[k]!, 0);
}

const nullIfNaN = (value: number): number | null => (Number.isNaN(value) ? null : value);
const orZero = (value: number): number => (Number.isNaN(value) ? 0 : value);
const isZero = (deviation: number): boolean => Math.abs(deviation) <= 1e-8;

function groupsOf(values: readonly number[], size: number): number[][] {
  const count = Math.ceil(values.length / size);
  return Array.from({ length: count }, (_, g) => values.slice(g * size, (g + 1) * size));
}

/** Each group with mean 0 and about standard deviation 1. */
const standardised = (values: readonly number[], groupSize: number): number[] =>
  groupsOf(values, groupSize).flatMap((group) => {
    const { mean, deviation } = spread(group);
    return group.map((value) => (value - mean) / (deviation + epsilon));
  });
