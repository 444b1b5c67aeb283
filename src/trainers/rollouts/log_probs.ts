/** @file Log-probabilities of completions that are there. */
import type { CausalLM } from "../../models/causal_lm.js";
import { tokenLogProbs, type TokenLogProbs } from "../../nn/index.js";
import { compile, type Compiled, type Tensor } from "../../tensor/index.js";
import type { TracedFeeds } from "../../training/objective.js";
import type { Completed } from "./buffer.js";
import { completionFeeds, splitTokens, type CompletionFeedsOptions } from "./feeds.js";

/** Traced. Hidden states that the tokens of completions are predicted from, by {@link completionFeeds}: [n, size]. */
export const completionHidden = (model: CausalLM, feeds: TracedFeeds): Tensor =>
  model.hiddenStates(feeds["inputIds"]!, { at: feeds["positions"]! });

/** Traced. What the policy says of the tokens of completions: each [n], with logits divided by the temperature. */
export const completionLogProbs = (
  model: CausalLM,
  feeds: TracedFeeds,
  options: { readonly temperature: number; readonly entropyGradient?: boolean },
): TokenLogProbs => fromHidden(model, completionHidden(model, feeds), feeds, options);

/** The same from hidden states that are there already. @param hidden [n, size] */
export const fromHidden = (
  model: CausalLM,
  hidden: Tensor,
  { labels }: TracedFeeds,
  options: { readonly temperature: number; readonly entropyGradient?: boolean },
): TokenLogProbs =>
  tokenLogProbs({
    hidden: hidden.to(model.dtype),
    weight: model.headWeight(),
    softcap: model.logitSoftcap,
    labels: labels!,
    ...options,
  });

/** What completions are scored by: a model as it is, or a reference. */
export interface Scored {
  readonly model: CausalLM;
  under<T>(body: (model: CausalLM) => T): T;
}

/** The model itself. */
export const asIs = (model: CausalLM): Scored => ({ model, under: (body) => body(model) });

export interface ScoringOptions extends CompletionFeedsOptions {
  readonly batchSize: number;
  readonly temperature: number;
}

/** Computes log-probabilities of completions, without gradients. */
export class LogProbScorer {
  readonly #program: Compiled<[TracedFeeds], Tensor>;
  readonly #options: ScoringOptions;

  constructor(scored: Scored, options: ScoringOptions) {
    const { temperature } = options;
    this.#options = options;
    this.#program = compile(
      (feeds: TracedFeeds) => scored.under((it) => completionLogProbs(it, feeds, { temperature }).logProbs),
      { cacheSize: 64, device: scored.model.headWeight().value.device },
    );
  }

  /** Of each row, the log-probability of each token of its completion. */
  async score(rows: readonly Completed[]): Promise<number[][]> {
    const { batchSize } = this.#options;
    const found: number[][] = [];
    for (let from = 0; from < rows.length; from += batchSize) {
      const some = completionFeeds(rows.slice(from, from + batchSize), this.#options);
      using logProbs = await this.#program(some.feeds);
      found.push(...splitTokens(some, logProbs.toNumbers()));
    }
    return found;
  }

  dispose(): void {
    this.#program.dispose();
  }
}
