/** @file What GRPO makes of prompts: completions, their rewards, their advantages. */
import { CraftError } from "../../errors.js";
import { Random } from "../../random.js";
import type { CompletionRow } from "../rollouts/buffer.js";
import type { CompletionsLog } from "../rollouts/completions_log.js";
import { judge, type Judgement, type JudgeOptions } from "../rollouts/judge.js";
import type { PromptBatch } from "../rollouts/loader.js";
import type { LogProbScorer } from "../rollouts/log_probs.js";
import { lengthMetrics } from "../rollouts/metrics.js";
import type { Reference } from "../rollouts/reference.js";
import type { SampledCompletion, Sampler } from "../rollouts/sampler.js";
import { advantagesOf, spread, type Advantages, type AdvantageOptions } from "./advantages.js";

export interface GRPORolloutOptions {
  readonly sampler: Sampler;
  readonly judge: JudgeOptions;
  readonly advantages: AdvantageOptions;
  readonly maskTruncated: boolean;
  /** Computes log-probabilities that the sampler does not give, or all. */
  readonly scorer: LogProbScorer;
  readonly recompute: boolean;
  /** Where divergence from it counts. */
  readonly reference: Reference | undefined;
  readonly seed: number;
  /** Tells apart what training and evaluations draw. */
  readonly stream: string;
  readonly log: CompletionsLog | undefined;
}

export interface GRPORollout {
  readonly rows: readonly CompletionRow[];
  readonly metrics: Readonly<Record<string, number>>;
}

/** Makes the completions of one rollout, ready to be trained on. @param step optimiser steps that are done */
export async function grpoRollout(
  batch: PromptBatch,
  { number, step }: { readonly number: number; readonly step: number },
  options: GRPORolloutOptions,
): Promise<GRPORollout> {
  const { groupSize } = options.advantages;
  const seed = new Random(options.seed, options.stream, number).integer(2 ** 32);
  const prompts = batch.prompts.map(({ promptIds }) => promptIds);
  const completions = await options.sampler({ prompts, copies: groupSize, seed });
  checkCompletions(completions, batch, groupSize);
  const judgement = await judge(batch, completions, groupSize, options.judge);
  const advantages = advantagesOf(judgement.rewards, options.advantages);
  const plain = completions.map(({ ids }, i) => ({ promptIds: prompts[Math.floor(i / groupSize)]!, ids }));
  const given = completions.map(({ logProbs }) => logProbs).filter((list) => list !== undefined);
  const known = !options.recompute && given.length === completions.length;
  const logProbs = known ? given : await options.scorer.score(plain);
  const refLogProbs = await options.reference?.score(plain);
  const { names } = options.judge.scorer;
  options.log?.write(
    number,
    step,
    completions.map((_, i) => ({
      prompt: batch.prompts[Math.floor(i / groupSize)]!.prompt,
      completion: judgement.texts[i]!,
      rewards: Object.fromEntries(names.map((name, k) => [name, judgement.rewards[i]![k]!])),
      advantage: advantages.advantages[i]!,
      extra: Object.fromEntries(
        Object.entries(judgement.extra).map(([column, values]) => [column, values[i]]),
      ),
    })),
  );
  return {
    rows: plain.map((row, i) => ({
      ...row,
      tokens: {
        log_probs: logProbs[i]!,
        ...(refLogProbs && { ref_log_probs: refLogProbs[i]! }),
      },
      numbers: {
        advantage: advantages.advantages[i]!,
        counted: options.maskTruncated && completions[i]!.stopped === "length" ? 0 : 1,
      },
    })),
    metrics: { ...lengthMetrics(completions), ...rewardMetrics(judgement, advantages, names) },
  };
}

/** @throws CraftError for a sampler that does not give as many completions as it should, or an empty one. */
function checkCompletions(
  completions: readonly SampledCompletion[],
  { prompts, where }: PromptBatch,
  copies: number,
): void {
  const expected = prompts.length * copies;
  if (completions.length !== expected)
    throw new CraftError({
      subject: "sampler",
      value: `${completions.length} completions`,
      reason: `must give ${copies} of each of the ${prompts.length} prompts`,
    });
  completions.forEach(({ ids, logProbs }, i) => {
    const subject = `sampler, completion ${i} (${where[Math.floor(i / copies)]})`;
    if (ids.length === 0)
      throw new CraftError({
        subject,
        reason: "is empty: it has no token, not even one that ends it",
        remedy: "Give the end-of-sequence token with it.",
      });
    if (logProbs !== undefined && logProbs.length !== ids.length)
      throw new CraftError({
        subject,
        value: `${logProbs.length} log-probabilities`,
        reason: `must be as many as its ${ids.length} tokens`,
      });
  });
}

/** With TRL's names. */
export function rewardMetrics(
  { rewards, failures, logged }: Judgement,
  { rewards: sums, fractionZeroStd }: Pick<Advantages, "rewards" | "fractionZeroStd">,
  names: readonly string[],
): Record<string, number> {
  const each = names.flatMap((name, k): [string, number][] => {
    const { mean, deviation } = spread(rewards.map((row) => row[k] ?? NaN));
    const failed = failures[name] ?? 0;
    return [
      [`rewards/${name}/mean`, mean],
      [`rewards/${name}/std`, deviation],
      ...(failed > 0 ? [[`rewards/${name}/failures`, failed] as [string, number]] : []),
    ];
  });
  const { mean, deviation } = spread(sums);
  return {
    ...Object.fromEntries(each),
    reward: mean,
    reward_std: deviation,
    frac_reward_zero_std: fractionZeroStd,
    ...logged,
  };
}
