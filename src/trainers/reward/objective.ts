import type { PreferenceBatch } from "../../data/preference_collator.js";
import type { CausalLM } from "../../models/causal_lm.js";
import type { Linear } from "../../nn/linear.js";
import {
  add,
  amax,
  amin,
  constant,
  HostTensor,
  logSigmoid,
  mul,
  neg,
  reshape,
  square,
  sub,
  type Tensor,
} from "../../tensor/index.js";
import type { Feeds, LossTerm, Objective, TracedFeeds } from "../../training/objective.js";
import { dropping, floats, hiddenAt, sides, textFeeds } from "../preference/feeds.js";
import type { RewardArguments } from "./config.js";

/**
 * -log sigmoid(r_w - r_l - margin) for the scores of both texts (Bradley & Terry 1952), and c (r_w + r_l)^2 where scores are
 * to be centred (Eisenstein et al. 2023); weight is the number of pairs.
 */
export class RewardObjective implements Objective<PreferenceBatch> {
  readonly name = "reward";
  readonly #score: Linear;
  readonly #args: Pick<RewardArguments, "centerRewardsCoefficient" | "disableDropout">;
  readonly #padTokenId: number | undefined;

  /** @param padTokenId what texts are scored before, wherever it stands at their end; as in transformers */
  constructor(
    score: Linear,
    args: Pick<RewardArguments, "centerRewardsCoefficient" | "disableDropout">,
    padTokenId: number | undefined,
  ) {
    this.#score = score;
    this.#args = args;
    this.#padTokenId = padTokenId;
  }

  feeds(batch: PreferenceBatch): Feeds {
    const { last, inputIds, margins } = batch;
    const scored = last.map((at) => {
      while (at > 0 && inputIds[at] === this.#padTokenId) at--;
      return at;
    });
    return {
      ...textFeeds(batch),
      last: new HostTensor(scored, [last.length], "int64"),
      ...(margins && { margins: floats(margins) }),
    };
  }

  loss(model: CausalLM, feeds: TracedFeeds): { readonly reward: LossTerm } {
    const { last, margins } = feeds;
    const { centerRewardsCoefficient: centre, disableDropout } = this.#args;
    const hidden = dropping(disableDropout, () => hiddenAt(model, feeds, last!));
    const scores = reshape(this.#score.forward(hidden.to("float32")), [last!.numel]);
    const { chosen, rejected } = sides(scores);
    const difference = sub(chosen, rejected);
    const excess = margins === undefined ? difference : sub(difference, margins);
    const preferred = neg(logSigmoid(excess));
    const losses =
      centre === undefined ? preferred : add(preferred, mul(square(add(chosen, rejected)), centre));
    const pairs = last!.numel / 2;
    const times = (value: Tensor): Tensor => mul(value, pairs);
    return {
      reward: {
        sum: losses.sum(),
        weight: constant(pairs, "float32"),
        metrics: {
          min_reward: times(amin(scores)),
          mean_reward: times(scores.mean()),
          max_reward: times(amax(scores)),
          accuracy: difference.gt(0).to("float32").sum(),
          margin: difference.sum(),
        },
      },
    };
  }

  tokens({ tokens }: PreferenceBatch): number {
    return tokens;
  }
}
