/** @file Completions of prompts with what the rewards, the policy and the reference say of them. */
import { Random } from "../../random.js";
import type { Completed } from "./buffer.js";
import type { CompletionsLog } from "./completions_log.js";
import { judge, requireCompletions, type Judgement, type JudgeOptions } from "./judge.js";
import type { PromptBatch } from "./loader.js";
import type { LogProbScorer } from "./log_probs.js";
import { spread } from "./metrics.js";
import type { SampledCompletion, Sampler } from "./sampler.js";

export interface CompletionOptions {
  readonly sampler: Sampler;
  readonly judge: JudgeOptions;
  /** Computes log-probabilities that the sampler does not give, or all. */
  readonly scorer: LogProbScorer;
  readonly recompute: boolean;
  /** The reference's, where divergence from it counts. */
  readonly reference: LogProbScorer | undefined;
  readonly seed: number;
  /** Tells apart what training and evaluations draw. */
  readonly stream: string;
}

export interface JudgedCompletions {
  readonly batch: PromptBatch;
  /** Completions of each prompt. */
  readonly copies: number;
  readonly completions: readonly SampledCompletion[];
  /** The same with their prompts. */
  readonly rows: readonly Completed[];
  readonly judgement: Judgement;
  /** Of the tokens of each completion, by the policy that made them. */
  readonly logProbs: readonly (readonly number[])[];
  readonly refLogProbs: readonly (readonly number[])[] | undefined;
}

/** @param number of the rollout */
export async function judgedCompletions(
  batch: PromptBatch,
  number: number,
  copies: number,
  options: CompletionOptions,
): Promise<JudgedCompletions> {
  const seed = new Random(options.seed, options.stream, number).integer(2 ** 32);
  const prompts = batch.prompts.map(({ promptIds }) => promptIds);
  const completions = await options.sampler({ prompts, copies, seed });
  requireCompletions(completions, batch, copies);
  const judgement = await judge(batch, completions, copies, options.judge);
  const rows = completions.map(({ ids }, i) => ({ promptIds: prompts[Math.floor(i / copies)]!, ids }));
  const given = completions.map(({ logProbs }) => logProbs).filter((list) => list !== undefined);
  const known = !options.recompute && given.length === completions.length;
  return {
    batch,
    copies,
    completions,
    rows,
    judgement,
    logProbs: known ? given : await options.scorer.score(rows),
    refLogProbs: await options.reference?.score(rows),
  };
}

/** Writes completions into their table. @param advantages one for each */
export function logCompletions(
  log: CompletionsLog,
  { number, step }: { readonly number: number; readonly step: number },
  { batch, copies, completions, judgement }: JudgedCompletions,
  names: readonly string[],
  advantages?: readonly number[],
): void {
  const rows = completions.map((_, i) => ({
    prompt: batch.prompts[Math.floor(i / copies)]!.prompt,
    completion: judgement.texts[i]!,
    rewards: Object.fromEntries(names.map((name, k) => [name, judgement.rewards[i]![k]!])),
    advantage: advantages?.[i],
    extra: Object.fromEntries(Object.entries(judgement.extra).map(([column, values]) => [column, values[i]])),
  }));
  log.write(number, step, rows);
}

/** Numbers about the rewards of each function, with TRL's names, and those that the functions told. */
export function rewardMetrics(
  { rewards, failures, logged }: Judgement,
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
  return { ...Object.fromEntries(each), ...logged };
}
