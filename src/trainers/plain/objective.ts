import { CraftError } from "../../errors.js";
import type { CausalLM } from "../../models/causal_lm.js";
import { constant, Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, Objective, TracedFeeds } from "../../training/objective.js";
import { tokenTerm } from "../sft/objective.js";
import { countInputTokens, inputFeeds, type Inputs } from "./inputs.js";

/** A sum of losses with what it is to be divided by, and further sums that are divided by the same when reported. */
export type SummedLoss = Pick<LossTerm, "sum" | "weight" | "metrics">;

/** What `computeLoss` gives: a sum with its weight, or a mean, a scalar that counts as one whole micro-batch. */
export type ComputedLoss = Tensor | SummedLoss;

export interface ComputedObjectiveOptions {
  /** Of the task. */
  readonly name: string;
  readonly computeLoss: (model: CausalLM, inputs: TracedFeeds) => ComputedLoss;
  /** What a mean counts for: as much in every batch, or as many as the rows of its first tensor. */
  readonly meansCount: "once" | "by_rows";
}

/** A loss that a function of model and inputs computes. */
export class ComputedObjective implements Objective<Inputs> {
  readonly name: string;
  readonly #options: ComputedObjectiveOptions;

  constructor(options: ComputedObjectiveOptions) {
    this.name = options.name;
    this.#options = options;
  }

  feeds(batch: Inputs): Feeds {
    return inputFeeds(batch);
  }

  loss(model: CausalLM, feeds: TracedFeeds): Readonly<Record<string, LossTerm>> {
    const computed = this.#options.computeLoss(model, feeds);
    return { [this.name]: computed instanceof Tensor ? this.#mean(computed, feeds) : checked(computed) };
  }

  #mean(loss: Tensor, feeds: TracedFeeds): LossTerm {
    const [first] = Object.values(feeds);
    const count = this.#options.meansCount === "once" ? 1 : (first?.shape[0] ?? 1);
    const mean = scalar(loss, "computeLoss");
    return { sum: mean.mul(count), weight: constant(count, mean.dtype) };
  }

  tokens(batch: Inputs): number {
    return countInputTokens(batch);
  }
}

function checked({ sum, weight, metrics = {} }: SummedLoss): LossTerm {
  const named = Object.entries(metrics).map(([name, value]) => [
    name,
    scalar(value, `computeLoss, metric ${name}`),
  ]);
  return {
    sum: scalar(sum, "computeLoss, sum"),
    weight: scalar(weight, "computeLoss, weight"),
    metrics: Object.fromEntries(named) as Record<string, Tensor>,
  };
}

/** @throws CraftError for what is no single number. */
function scalar(value: unknown, subject: string): Tensor {
  if (!(value instanceof Tensor))
    throw new CraftError({
      subject,
      value,
      reason: "must be a tensor, or { sum, weight } of tensors",
      remedy: "Losses are computed by functions of tensors; nothing can be read while they are traced.",
    });
  if (value.numel !== 1)
    throw new CraftError({
      subject,
      value: `shape [${value.shape.join(", ")}]`,
      reason: "must be a single number",
      remedy: "Sum it or take its mean.",
    });
  const wide = value.dtype === "float64" ? value : value.to("float32");
  return wide.ndim === 0 ? wide : wide.reshape([]);
}

/**
 * Next-token prediction by `labels`: the sum over labels of their negative log-likelihood, and their number.
 *
 * @param smoothing share of each label that is spread over the vocabulary
 * @throws CraftError for inputs without tokens or labels.
 */
export function causalTokenLoss(model: CausalLM, inputs: TracedFeeds, smoothing: number): SummedLoss {
  const { input_ids: ids, label_positions: at, label_ids: labels, label_weights: weights } = inputs;
  if (ids === undefined || at === undefined || labels === undefined || weights === undefined) {
    throw new CraftError({
      subject: "computeLoss",
      value: Object.keys(inputs),
      reason: "predicts the next token, for which the batch must have input_ids and labels of one shape",
      remedy: "Give them, or override computeLoss.",
    });
  }
  const hidden = model.hiddenStates(ids, {
    attentionMask: inputs["hiding_mask"],
    documents: inputs["documents"],
    positions: inputs["position_ids"],
    at,
  });
  return tokenTerm(model, hidden, { positions: at, labels, weights }, smoothing);
}
