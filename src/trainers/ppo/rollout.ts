/** @file What PPO makes of prompts: completions, and for each of their tokens a reward, a value and an advantage. */
import type { CompletionRow } from "../rollouts/buffer.js";
import {
  judgedCompletions,
  logCompletions,
  rewardMetrics,
  type CompletionOptions,
  type JudgedCompletions,
} from "../rollouts/completions.js";
import type { CompletionsLog } from "../rollouts/completions_log.js";
import type { PromptBatch } from "../rollouts/loader.js";
import { lengthMetrics } from "../rollouts/metrics.js";
import { generalisedAdvantages, klEstimate, whitened, type KlEstimator } from "./advantages.js";
import type { KlController } from "./kl_controller.js";
import type { ValueScorer } from "./objective.js";

export interface PPORolloutOptions extends CompletionOptions {
  readonly values: ValueScorer;
  readonly kl: KlController;
  readonly klEstimator: KlEstimator;
  /** One for each reward function. */
  readonly weights: readonly number[];
  readonly missingEosPenalty: number;
  readonly whitenRewards: boolean;
  readonly gamma: number;
  readonly lam: number;
  readonly log: CompletionsLog | undefined;
}

export interface PPORollout {
  readonly rows: readonly CompletionRow[];
  readonly metrics: Readonly<Record<string, number>>;
}

/**
 * Makes the completions of one rollout, ready to be trained on. The reward of a token is minus the coefficient times its
 * divergence from the reference; that of a completion's last token also has the score. What no reward function judged
 * does not count.
 *
 * @param place.step optimiser steps that are done
 */
export async function ppoRollout(
  batch: PromptBatch,
  place: { readonly number: number; readonly step: number },
  options: PPORolloutOptions,
): Promise<PPORollout> {
  const judged = await judgedCompletions(batch, place.number, 1, options);
  const { logProbs, rows, judgement } = judged;
  const values = await options.values.score(rows);
  const scores = scoresOf(judged, options);
  const counted = judgement.rewards.map((row) => row.some((value) => value !== null));
  const coefficient = options.kl.valueFor(place.number);
  const divergences = divergencesOf(judged, options.klEstimator);
  const earned = logProbs.map((row, i) =>
    row.map((_, t) => {
      const cost = -coefficient * (divergences?.[i]![t] ?? 0);
      return t === row.length - 1 ? cost + scores[i]! : cost;
    }),
  );
  const among = (lists: readonly (readonly number[])[]): (readonly number[])[] =>
    lists.filter((_, i) => counted[i]);
  const rewards = options.whitenRewards ? replaced(earned, counted, whitened(among(earned), false)) : earned;
  const estimated = rewards.map((row, i) => generalisedAdvantages(row, values[i]!, options));
  const plain = estimated.map(({ advantages }) => advantages);
  const advantages = replaced(plain, counted, whitened(among(plain)));
  const { names } = options.judge.scorer;
  if (options.log !== undefined) logCompletions(options.log, place, judged, names);
  const totals = divergences?.map((row) => total(row));
  const kl = totals === undefined ? undefined : mean(totals);
  if (kl !== undefined) options.kl.update(place.number, kl, rows.length);
  return {
    rows: rows.map((row, i) => ({
      ...row,
      tokens: {
        log_probs: logProbs[i]!,
        values: values[i]!,
        advantages: advantages[i]!,
        returns: estimated[i]!.returns,
      },
      numbers: { counted: counted[i] ? 1 : 0 },
    })),
    metrics: {
      ...lengthMetrics(judged.completions),
      ...rewardMetrics(judgement, names),
      ...objectiveMetrics(judged, scores, counted, kl, coefficient),
    },
  };
}

/** Weighted sums of the rewards, less what a completion that was cut off loses; 0 where no function applies. */
function scoresOf(
  { judgement, completions }: JudgedCompletions,
  { weights, missingEosPenalty }: PPORolloutOptions,
): number[] {
  return judgement.rewards.map((row, i) => {
    const sum = row.reduce<number>((all, value, k) => all + (value ?? 0) * weights[k]!, 0);
    return completions[i]!.stopped === "length" ? sum - missingEosPenalty : sum;
  });
}

const divergencesOf = (
  { logProbs, refLogProbs }: JudgedCompletions,
  estimator: KlEstimator,
): number[][] | undefined =>
  refLogProbs?.map((row, i) => row.map((reference, t) => klEstimate(estimator, logProbs[i]![t]!, reference)));

/** The lists, with others in the place of those that count. */
function replaced(
  lists: readonly (readonly number[])[],
  counted: readonly boolean[],
  others: readonly (readonly number[])[],
): (readonly number[])[] {
  let next = 0;
  return lists.map((list, i) => (counted[i] ? others[next++]! : list));
}

/** With TRL's names. */
function objectiveMetrics(
  { logProbs, completions }: JudgedCompletions,
  scores: readonly number[],
  counted: readonly boolean[],
  kl: number | undefined,
  coefficient: number,
): Record<string, number> {
  const judged = scores.filter((_, i) => counted[i]);
  const cost = kl === undefined ? 0 : -coefficient * kl;
  return {
    ...(kl !== undefined && { "objective/kl": kl, "objective/kl_coef": coefficient }),
    "objective/entropy": mean(logProbs.map((row) => -total(row))),
    "objective/non_score_reward": cost,
    "objective/scores": mean(judged),
    "objective/rlhf_reward": mean(judged) + cost,
    "val/num_eos_tokens": completions.filter(({ stopped }) => stopped === "eos").length,
  };
}

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]): number => total(values) / values.length;
