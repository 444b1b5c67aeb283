import type { CausalLM } from "../../models/causal_lm.js";
import { compile, sum, type Compiled, type HostTensor, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, Objective, TracedFeeds } from "../../training/objective.js";
import type { Completed, CompletionRow } from "../rollouts/buffer.js";
import {
  completionFeeds,
  splitTokens,
  tokenNumbers,
  type CompletionFeedsOptions,
} from "../rollouts/feeds.js";
import { completionHidden, fromHidden } from "../rollouts/log_probs.js";
import type { RolloutShare } from "../rollouts/loader.js";
import { ppoLoss, type PPOLossOptions } from "./losses.js";
import type { ValueHead } from "./value_head.js";

export interface PPOObjectiveOptions extends CompletionFeedsOptions {
  readonly loss: PPOLossOptions;
  readonly temperature: number;
  readonly values: ValueHead;
}

/** Whether a completion was judged. */
const counts = ({ numbers }: CompletionRow): boolean => numbers["counted"] === 1;

/** Clipped policy and value losses over the tokens of completions. */
export class PPOObjective implements Objective<RolloutShare> {
  readonly name = "ppo";
  readonly #options: PPOObjectiveOptions;

  constructor(options: PPOObjectiveOptions) {
    this.#options = options;
  }

  feeds({ rows }: RolloutShare): Feeds {
    const made = completionFeeds(rows, this.#options, counts);
    const tokens = (name: string): HostTensor => tokenNumbers(rows, made, (row) => row.tokens[name]!);
    return {
      ...made.feeds,
      oldLogProbs: tokens("log_probs"),
      oldValues: tokens("values"),
      advantages: tokens("advantages"),
      returns: tokens("returns"),
    };
  }

  loss(model: CausalLM, feeds: TracedFeeds): { readonly ppo: LossTerm } {
    const { loss: options, temperature, values } = this.#options;
    const hidden = completionHidden(model, feeds);
    const { logProbs, entropy } = fromHidden(model, hidden, feeds, { temperature });
    const mask = feeds["mask"]!;
    const { weight, ...loss } = ppoLoss(
      {
        logProbs,
        oldLogProbs: feeds["oldLogProbs"]!,
        values: values.forward(hidden),
        oldValues: feeds["oldValues"]!,
        advantages: feeds["advantages"]!,
        returns: feeds["returns"]!,
        mask,
      },
      options,
    );
    const metrics = { ...loss.metrics, "policy/entropy_avg": sum(entropy.mul(mask)) };
    // Where no completion of a micro-batch was judged, there is nothing to learn, and nothing wrong.
    return { ppo: { sum: loss.sum, weight: weight.maximum(1), metrics } };
  }

  tokens({ rows }: RolloutShare): number {
    return rows.reduce((total, { promptIds, ids }) => total + promptIds.length + ids.length, 0);
  }
}

/** Computes the values of completions, without gradients. */
export class ValueScorer {
  readonly #program: Compiled<[TracedFeeds], Tensor>;
  readonly #options: CompletionFeedsOptions & { readonly batchSize: number };

  constructor(
    model: CausalLM,
    head: ValueHead,
    options: CompletionFeedsOptions & { readonly batchSize: number },
  ) {
    this.#options = options;
    this.#program = compile((feeds: TracedFeeds) => head.forward(completionHidden(model, feeds)), {
      cacheSize: 64,
      device: model.headWeight().value.device,
    });
  }

  /** Of each row, the value of the state before each token of its completion. */
  async score(rows: readonly Completed[]): Promise<number[][]> {
    const { batchSize } = this.#options;
    const found: number[][] = [];
    for (let from = 0; from < rows.length; from += batchSize) {
      const some = completionFeeds(rows.slice(from, from + batchSize), this.#options);
      const { inputIds, positions } = some.feeds;
      using values = await this.#program({ inputIds: inputIds!, positions: positions! });
      found.push(...splitTokens(some, values.toNumbers()));
    }
    return found;
  }

  dispose(): void {
    this.#program.dispose();
  }
}
