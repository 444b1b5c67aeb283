import type { PreferenceBatch } from "../../data/preference_collator.js";
import type { CausalLM } from "../../models/causal_lm.js";
import { constant, div, exp, mul, sub, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, Objective, TracedFeeds } from "../../training/objective.js";
import {
  dropping,
  floats,
  hiddenAt,
  perText,
  predictedFeeds,
  predictionsOf,
  sides,
  textFeeds,
  type Sides,
} from "../preference/feeds.js";
import type { Reference } from "../preference/reference.js";
import { weightedLosses, type DPOArguments } from "./config.js";
import { logRatios, pairLoss, rewardMetrics, type PairLossOptions } from "./losses.js";

/** What each task counts in the loss. */
export function dpoShares(args: DPOArguments): Readonly<Record<string, number>> {
  const { sft } = weightedLosses(args);
  return { dpo: 1, ...(sft === undefined ? {} : { sft }) };
}

/**
 * Preferences of pairs against a reference; weight is the number of pairs. Where the token loss of chosen answers is part
 * of the mix, it is a task of its own, `sft`, whose weight is the number of their tokens.
 */
export class DPOObjective implements Objective<PreferenceBatch> {
  readonly name = "dpo";
  readonly #args: DPOArguments;
  readonly #reference: Reference | undefined;
  readonly #losses: ReturnType<typeof weightedLosses>;

  /** @param reference undefined where batches bring its log-probabilities, or there is none */
  constructor(args: DPOArguments, reference: Reference | undefined) {
    this.#args = args;
    this.#reference = reference;
    this.#losses = weightedLosses(args);
  }

  feeds(batch: PreferenceBatch): Feeds {
    const { ldAlpha } = this.#args;
    const { answers, lengths, references } = batch;
    return {
      ...textFeeds(batch),
      ...predictedFeeds("answer", answers),
      lengths: floats(lengths),
      ...(ldAlpha === undefined ? {} : { shares: floats(tokenShares(batch, ldAlpha)) }),
      ...(this.#reference === undefined && references && { references: floats(references) }),
    };
  }

  loss(model: CausalLM, feeds: TracedFeeds): Readonly<Record<string, LossTerm>> {
    const args = this.#args;
    const { answerIndex, answerTarget, answerOwner, answerWeight, lengths, references } = feeds;
    const texts = lengths!.numel;
    const { shares = answerWeight! } = feeds;
    const totals = (logProbs: Tensor): Tensor => perText(mul(logProbs, shares), answerOwner!, texts);
    // First, so that nothing of it is held while the policy's values wait for their gradients.
    const known = this.#reference?.under((reference) =>
      totals(predictionsOf(reference, hiddenAt(reference, feeds, answerIndex!), answerTarget!).logProbs),
    );
    const reference = (known ?? references ?? mul(lengths!, 0)).stopGradient();
    const found = dropping(args.disableDropout, () =>
      predictionsOf(model, hiddenAt(model, feeds, answerIndex!), answerTarget!),
    );
    const meanOf = (values: Tensor): Tensor =>
      div(perText(mul(values, answerWeight!), answerOwner!, texts), lengths!);
    const logps = totals(found.logProbs);
    const of = { policy: sides(logps), reference: sides(reference), lengths: sides(lengths!) };
    const options: PairLossOptions = {
      ...args,
      discopopTau: args.discopopTau ?? 0.05,
      fAlphaDivergenceCoef: args.fAlphaDivergenceCoef ?? 0.5,
    };
    const weighed = this.#losses.pairs
      .map(({ name, weight }) => mul(pairLoss(name, of, options), weight))
      .reduce((a, b) => a.add(b));
    const losses = args.useWeighting
      ? mul(weighed, likelihood(meanOf(sub(found.logProbs, found.logCollisions))))
      : weighed;
    const pairs = constant(texts / 2, "float32");
    const ratios = logRatios(of);
    const rewards: Sides = {
      chosen: mul(ratios.chosen, args.beta),
      rejected: mul(ratios.rejected, args.beta),
    };
    const logits = sides(meanOf(found.meanLogits));
    const metrics = {
      ...rewardMetrics({ chosen: rewards.chosen.stopGradient(), rejected: rewards.rejected.stopGradient() }),
      "logps/chosen": of.policy.chosen.sum(),
      "logps/rejected": of.policy.rejected.sum(),
      "logits/chosen": logits.chosen.sum(),
      "logits/rejected": logits.rejected.sum(),
      entropy: mul(meanOf(found.entropy).sum(), 0.5),
      mean_token_accuracy: sides(meanOf(found.correct)).chosen.sum(),
    };
    const dpo: LossTerm = { sum: losses.sum(), weight: pairs, metrics };
    if (this.#losses.sft === undefined) return { dpo };
    const chosen = perText(mul(found.logProbs, answerWeight!), answerOwner!, texts);
    return {
      dpo,
      sft: { sum: sides(chosen).chosen.sum().neg(), weight: sides(lengths!).chosen.sum() },
    };
  }

  weights({ pairs, lengths }: PreferenceBatch): Readonly<Record<string, number>> {
    const tokens = lengths.subarray(0, pairs).reduce((a, b) => a + b, 0);
    return { dpo: pairs, ...(this.#losses.sft === undefined ? {} : { sft: tokens }) };
  }

  tokens({ tokens }: PreferenceBatch): number {
    return tokens;
  }
}

/** exp of the mean log-probabilities of both answers, each token's taken relative to sum p^2 (Zhou et al. 2024, WPO). */
function likelihood(means: Tensor): Tensor {
  const { chosen, rejected } = sides(means.stopGradient());
  return mul(exp(chosen), exp(rejected));
}

/** 1 for the tokens of an answer up to the length of the shorter one of its pair, and alpha beyond (Liu et al. 2024, LD-DPO). */
function tokenShares({ answers, lengths, pairs }: PreferenceBatch, alpha: number): Float32Array {
  const done = new Int32Array(lengths.length);
  return answers.weight.map((weight, i) => {
    const owner = answers.owner[i]!;
    const pair = owner % pairs;
    const shared = Math.min(lengths[pair]!, lengths[pairs + pair]!);
    return weight === 0 ? 0 : done[owner]!++ < shared ? 1 : alpha;
  });
}
