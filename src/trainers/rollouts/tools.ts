/** @file What rollouts are made with, for the time of a run. */
import type { z } from "zod";
import type { CausalLM } from "../../models/causal_lm.js";
import type { LoraModel } from "../../peft/lora.js";
import type { Tokenizer } from "../../text/index.js";
import type { NamedReward } from "../rewards/reward.js";
import { RewardScorer } from "../rewards/scorer.js";
import type { rolloutFields } from "./config.js";
import type { JudgeOptions } from "./judge.js";
import { LogProbScorer } from "./log_probs.js";
import { openReference, type Reference } from "./reference.js";
import { endTokens, type RunningState } from "./run.js";
import { PolicySampler, type Sampler } from "./sampler.js";

export type RolloutArguments = z.output<z.ZodObject<typeof rolloutFields>>;

export interface RolloutToolsOptions {
  readonly args: RolloutArguments & { readonly perDeviceTrainBatchSize: number };
  readonly model: CausalLM;
  readonly lora: LoraModel | undefined;
  readonly tokenizer: Tokenizer | undefined;
  readonly padTokenId: number;
  readonly rewards: readonly NamedReward[];
  readonly sampler: Sampler | undefined;
  readonly refModel: CausalLM | string | undefined;
  /** The option that wants a reference, undefined if none does. */
  readonly referenceFor: string | undefined;
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
  readonly reference: Reference | undefined;
  dispose(): void;
}

/** @throws CraftError for a reference that is wanted and cannot be had. */
export async function openTools(options: RolloutToolsOptions): Promise<RolloutTools> {
  const { args, model, lora, tokenizer, padTokenId, rewards, state, notice, refModel } = options;
  const { temperature, topP, topK, minP, repetitionPenalty, maxCompletionLength, rolloutBatchSize } = args;
  const scoring = {
    padTokenId,
    padToMultipleOf: args.padToMultipleOf,
    temperature,
    batchSize: args.perDeviceTrainBatchSize,
  };
  const { referenceFor: wantedBy } = options;
  const reference =
    wantedBy === undefined ? undefined : await openReference({ ...scoring, model, lora, refModel, wantedBy });
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
  const scorer = new LogProbScorer(model, scoring);
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
