import type { CausalLM } from "../../models/causal_lm.js";
import { HostTensor, stack, sum, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, Objective, TracedFeeds } from "../../training/objective.js";
import type { CompletionRow, RolloutBuffer } from "../rollouts/buffer.js";
import { completionFeeds, splitTokens, tokenNumbers, type CompletionFeeds } from "../rollouts/feeds.js";
import { completionLogProbs } from "../rollouts/log_probs.js";
import type { RolloutShare } from "../rollouts/loader.js";
import type { EntropyController } from "./entropy.js";
import { uncertainTokens } from "./entropy.js";
import { grpoLoss, type GRPOLossOptions } from "./losses.js";

/** Some completions of a rollout. */
export interface GRPOBatch extends RolloutShare {
  /** Tokens of the whole rollout that count, over its micro-batches. */
  readonly items: number;
}

export interface GRPOObjectiveOptions {
  readonly loss: GRPOLossOptions;
  readonly temperature: number;
  readonly topEntropyQuantile: number;
  /** Undefined for no bonus. */
  readonly entropy: EntropyController | undefined;
  readonly padTokenId: number;
  readonly padToMultipleOf?: number | undefined;
  /** Where log-probabilities are kept that later passes over the same completions compare with. */
  readonly buffer?: RolloutBuffer | undefined;
}

/** Whether a completion counts; those that were cut off may not. */
export const counts = ({ numbers }: CompletionRow): boolean => numbers["counted"] === 1;

/** The policy gradient over completions, by how much better each is than the others of its group. */
export class GRPOObjective implements Objective<GRPOBatch> {
  readonly name = "grpo";
  readonly #options: GRPOObjectiveOptions;

  constructor(options: GRPOObjectiveOptions) {
    this.#options = options;
  }

  feeds(batch: GRPOBatch): Feeds {
    const { loss, entropy } = this.#options;
    const { rows } = batch;
    const made = this.#completions(batch);
    const tokens = (pick: (row: CompletionRow) => readonly number[] | number): HostTensor =>
      tokenNumbers(rows, made, pick);
    return {
      ...made.feeds,
      advantages: tokens(({ numbers }) => numbers["advantage"]!),
      // Of the policy as it is now, no other log-probabilities are needed: ratios are 1.
      ...(batch.fresh ? {} : { oldLogProbs: tokens((row) => row.tokens["log_probs"]!) }),
      ...(loss.beta === 0 ? {} : { refLogProbs: tokens((row) => row.tokens["ref_log_probs"]!) }),
      items: scalar(batch.items),
      ...(entropy && { entropyCoef: scalar(entropy.acting) }),
    };
  }

  #completions({ rows }: GRPOBatch): CompletionFeeds {
    return completionFeeds(rows, this.#options, counts);
  }

  loss(model: CausalLM, feeds: TracedFeeds): { readonly grpo: LossTerm } {
    const { temperature, topEntropyQuantile, entropy: controller } = this.#options;
    const mask = feeds["mask"]!;
    const bonus = controller !== undefined;
    const { logProbs, entropy } = completionLogProbs(model, feeds, { temperature, entropyGradient: bonus });
    const chosen = topEntropyQuantile < 1 ? uncertainTokens(entropy, mask, topEntropyQuantile) : undefined;
    const loss = grpoLoss(
      {
        logProbs,
        oldLogProbs: feeds["oldLogProbs"],
        refLogProbs: feeds["refLogProbs"],
        advantages: feeds["advantages"]!,
        mask,
        chosen,
        rows: feeds["rows"]!,
        count: feeds["inputIds"]!.size(0),
        items: feeds["items"]!,
      },
      this.#options.loss,
    );
    const { weight } = loss;
    // Numbers of a micro-batch count as its weight does, so that those of a window are averaged over its micro-batches.
    const weighted = (values: Readonly<Record<string, Tensor>>): Record<string, Tensor> =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.mul(weight)]));
    const observed = { log_probs: logProbs };
    const means = { ...loss.metrics, entropy: meanOver(entropy.stopGradient(), mask) };
    if (!bonus) return { grpo: { sum: loss.sum, weight, metrics: weighted(means), observed } };
    const acting = chosen === undefined ? mask : mask.mul(chosen);
    const coef = feeds["entropyCoef"]!;
    const gain = meanOver(entropy, acting).mul(coef).mul(weight);
    const stopped = entropy.stopGradient();
    return {
      grpo: {
        sum: loss.sum.sub(gain),
        weight,
        metrics: { ...weighted(means), policy_loss: loss.sum },
        observed: { ...observed, entropy: stack([sum(stopped.mul(acting)), sum(acting)]) },
      },
    };
  }

  observe(
    { log_probs: logProbs, entropy }: Readonly<Record<string, readonly number[]>>,
    batch: GRPOBatch,
  ): void {
    if (entropy !== undefined) this.#options.entropy?.add(entropy[0]!, entropy[1]!);
    if (!batch.fresh || logProbs === undefined) return;
    const made = this.#completions(batch);
    const rows = splitTokens(made, logProbs).map((values, i) => [batch.places[i]!, values] as const);
    this.#options.buffer?.setTokens("log_probs", new Map(rows.filter((_, i) => counts(batch.rows[i]!))));
  }

  tokens({ rows }: GRPOBatch): number {
    return rows.reduce((total, { promptIds, ids }) => total + promptIds.length + ids.length, 0);
  }
}

const meanOver = (x: Tensor, mask: Tensor): Tensor => sum(x.mul(mask)).div(sum(mask).maximum(1));

const scalar = (value: number): HostTensor => new HostTensor([value], [], "float32");
