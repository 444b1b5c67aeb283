import type { PreferenceBatch } from "../../data/preference_collator.js";
import type { CausalLM } from "../../models/causal_lm.js";
import { cat, constant, div, logSigmoid, mul, slice, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, Objective, TracedFeeds } from "../../training/objective.js";
import { rewardMetrics } from "../dpo/losses.js";
import {
  dropping,
  floats,
  hiddenAt,
  perText,
  predictedFeeds,
  predictionsOf,
  sides,
  textFeeds,
} from "../preference/feeds.js";
import type { ORPOArguments } from "./config.js";
import { logOddsRatio } from "./loss.js";

/** What each task counts in the loss. */
export const orpoShares = { orpo: 1, nll: 1 } as const;

/**
 * Two tasks: `orpo`, -beta log sigmoid of the log odds ratio, whose weight is the number of pairs; and `nll`, the token loss
 * of prompts with their chosen answers, whose weight is the number of tokens.
 */
export class ORPOObjective implements Objective<PreferenceBatch> {
  readonly name = "orpo";
  readonly #args: Pick<ORPOArguments, "beta" | "disableDropout">;

  constructor(args: Pick<ORPOArguments, "beta" | "disableDropout">) {
    this.#args = args;
  }

  feeds(batch: PreferenceBatch): Feeds {
    const { answers, prompts, lengths } = batch;
    return {
      ...textFeeds(batch),
      ...predictedFeeds("answer", answers),
      ...predictedFeeds("prompt", prompts),
      lengths: floats(lengths),
    };
  }

  loss(model: CausalLM, feeds: TracedFeeds): { readonly orpo: LossTerm; readonly nll: LossTerm } {
    const { beta, disableDropout } = this.#args;
    const { answerIndex, answerTarget, answerOwner, answerWeight, lengths } = feeds;
    const { promptIndex, promptTarget, promptWeight } = feeds;
    const [texts, answers] = [lengths!.numel, answerIndex!.numel];
    const found = dropping(disableDropout, () => {
      const at = cat([answerIndex!, promptIndex!]);
      return predictionsOf(model, hiddenAt(model, feeds, at), cat([answerTarget!, promptTarget!]));
    });
    const ofAnswers = (values: Tensor): Tensor =>
      perText(mul(slice(values, 0, 0, answers), answerWeight!), answerOwner!, texts);
    const sums = ofAnswers(found.logProbs);
    const means = sides(div(sums, lengths!));
    const odds = logOddsRatio(means);
    const ratio = logSigmoid(odds);
    const ofPrompts = mul(slice(found.logProbs, 0, answers), promptWeight!).sum();
    const nll = sides(sums).chosen.sum().add(ofPrompts).neg();
    const rewards = sides(mul(div(sums, lengths!), beta).stopGradient());
    const logits = sides(div(ofAnswers(found.meanLogits), lengths!));
    return {
      orpo: {
        sum: mul(ratio.sum(), -beta),
        weight: constant(texts / 2, "float32"),
        metrics: {
          ...rewardMetrics(rewards),
          "logps/chosen": means.chosen.sum(),
          "logps/rejected": means.rejected.sum(),
          "logits/chosen": logits.chosen.sum(),
          "logits/rejected": logits.rejected.sum(),
          log_odds_ratio: ratio.sum(),
          log_odds_chosen: odds.sum(),
        },
      },
      nll: {
        sum: nll,
        weight: sides(lengths!).chosen.sum().add(promptWeight!.sum()),
        metrics: { nll_loss: nll },
      },
    };
  }

  weights({ pairs, lengths, prompts }: PreferenceBatch): { readonly orpo: number; readonly nll: number } {
    const count = (list: Float32Array): number => list.reduce((a, b) => a + b, 0);
    return { orpo: pairs, nll: count(lengths.subarray(0, pairs)) + count(prompts.weight) };
  }

  tokens({ tokens }: PreferenceBatch): number {
    return tokens;
  }
}
