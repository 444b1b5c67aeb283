/** @file What rollouts are made with, for the time of a run. */
import type { z } from "zod";
import type { CausalLM } from "../../models/causal_lm.js";
import type { Tokenizer } from "../../text/index.js";
import type { NamedReward } from "../rewards/reward.js";
import { RewardScorer } from "../rewards/scorer.js";
import type { rolloutFields } from "./config.js";
import type { JudgeOptions } from "./judge.js";
import type { Reference } from "../preference/reference.js";
import { asIs, LogProbScorer } from "./log_probs.js";
import { endTokens, type RunningState } from "./run.js";
import { PolicySampler, type Sampler } from "./sampler.js";

export type RolloutArguments = z.output<z.ZodObject<typeof rolloutFields>>;

export interface RolloutToolsOptions {
  readonly args: RolloutArguments & { readonly perDeviceTrainBatchSize: number };
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer | undefined;
  readonly padTokenId: number;
  readonly rewards: readonly NamedReward[];
  readonly sampler: Sampler | undefined;
  /** What divergence is measured from, if it is. */
  readonly reference: Reference | undefined;
  /** Completions of a rollout. */
  readonly rows: number;
  /** Tokens that end a completion; those of tokenizer and model by default. */
  readonly eosTokenIds?: readonly number[];
  readonly state: RunningState;
  readonly notice: (text: string) => void;
}

export interface RolloutTools {
  readonly sampler: Sampler;
  readonly judge: JudgeOptions;
  readonly scorer: LogProbScorer;
  /** The reference's. */
  readonly reference: LogProbScorer | undefined;
  dispose(): void;
}

export function openTools(options: RolloutToolsOptions): RolloutTools {
  const { args, model, tokenizer, padTokenId, rewards, state, notice } = options;
  const { temperature, topP, topK, minP, repetitionPenalty, maxCompletionLength, rolloutBatchSize } = args;
  const scoring = {
    padTokenId,
    padToMultipleOf: args.padToMultipleOf,
    temperature,
    batchSize: args.perDeviceTrainBatchSize,
  };
  const reference = options.reference && new LogProbScorer(options.reference, scoring);
  const own =
    options.sampler === undefined
      ? new PolicySampler(model, {
          temperature,
          topP,
          topK,
          minP,
          repetitionPenalty,
          maxCompletionLength,
          eosTokenIds: options.eosTokenIds ?? endTokens(model, tokenizer),
          padTokenId,
          rows: rolloutBatchSize ?? options.rows,
          logProbs: true,
        })
      : undefined;
  const scorer = new LogProbScorer(asIs(model), scoring);
  return {
    sampler: options.sampler ?? own!.sample,
    judge: {
      scorer: new RewardScorer({ rewards, timeLimit: args.rewardTimeLimit, notice }),
      model,
      tokenizer,
      trainerState: () => state.trainerState,
    },
    scorer,
    reference,
    dispose: () => {
      own?.dispose();
      scorer.dispose();
      reference?.dispose();
    },
  };
}
