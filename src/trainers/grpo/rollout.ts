/** @file What GRPO makes of prompts: completions, their rewards, their advantages. */
import type { CompletionRow } from "../rollouts/buffer.js";
import {
  judgedCompletions,
  logCompletions,
  rewardMetrics,
  type CompletionOptions,
} from "../rollouts/completions.js";
import type { CompletionsLog } from "../rollouts/completions_log.js";
import type { PromptBatch } from "../rollouts/loader.js";
import { lengthMetrics, spread } from "../rollouts/metrics.js";
import { advantagesOf, type AdvantageOptions } from "./advantages.js";

export interface GRPORolloutOptions extends CompletionOptions {
  readonly advantages: AdvantageOptions;
  readonly maskTruncated: boolean;
  readonly log: CompletionsLog | undefined;
}

export interface GRPORollout {
  readonly rows: readonly CompletionRow[];
  readonly metrics: Readonly<Record<string, number>>;
}

/** Makes the completions of one rollout, ready to be trained on. @param place.step optimiser steps that are done */
export async function grpoRollout(
  batch: PromptBatch,
  place: { readonly number: number; readonly step: number },
  options: GRPORolloutOptions,
): Promise<GRPORollout> {
  const judged = await judgedCompletions(batch, place.number, options.advantages.groupSize, options);
  const { completions, judgement, logProbs, refLogProbs } = judged;
  const { advantages, rewards, fractionZeroStd } = advantagesOf(judgement.rewards, options.advantages);
  const { names } = options.judge.scorer;
  if (options.log !== undefined) logCompletions(options.log, place, judged, names, advantages);
  const { mean, deviation } = spread(rewards);
  return {
    rows: judged.rows.map((row, i) => ({
      ...row,
      tokens: { log_probs: logProbs[i]!, ...(refLogProbs && { ref_log_probs: refLogProbs[i]! }) },
      numbers: {
        advantage: advantages[i]!,
        counted: options.maskTruncated && completions[i]!.stopped === "length" ? 0 : 1,
      },
    })),
    metrics: {
      ...lengthMetrics(completions),
      ...rewardMetrics(judgement, names),
      reward: mean,
      reward_std: deviation,
      frac_reward_zero_std: fractionZeroStd,
    },
  };
}
