/** @file What trainers on rollouts know of the run that they are in. */
import type { CausalLM } from "../../models/causal_lm.js";
import type { Tokenizer } from "../../text/index.js";
import { Stopped } from "../../training/interruption.js";
import type { CallbackContext, RunPlace, TrainerCallback, TrainerState } from "../../training/index.js";
import { RewardsFailedError } from "../rewards/scorer.js";

/** Knows where a run stands, from its beginning to its end. */
export class RunningState implements TrainerCallback {
  #context: CallbackContext | undefined;

  onInitEnd(_run: Pick<RunPlace, "totalSteps">, context: CallbackContext): void {
    this.#context = context;
  }

  onTrainEnd(): void {
    this.#context = undefined;
  }

  get trainerState(): TrainerState | undefined {
    return this.#context?.state;
  }

  /** Runs `body`; where rewards have failed for good in a run, the run stops with a checkpoint. */
  async guarded<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      if (error instanceof RewardsFailedError && this.#context !== undefined)
        throw new Stopped("failure", error);
      throw error;
    }
  }

  /** Optimiser steps that are done. */
  get step(): number {
    return this.#context?.state.globalStep ?? 0;
  }
}

/** Tokens that end a completion: the tokenizer's, and those of the model. */
export function endTokens(model: CausalLM, tokenizer: Tokenizer | undefined): number[] {
  const own = model.generationConfig?.eosTokenIds ?? model.eosTokenIds;
  const more = tokenizer?.eosTokenId === undefined ? [] : [tokenizer.eosTokenId];
  return [...new Set([...more, ...own])].filter((id) => id < model.shape.vocabSize);
}
