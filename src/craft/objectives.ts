/** @file The contrastive objective, and the one that gives both losses in one forward pass. */
import type { PairBatch, SelfAlignBatch } from "./data/collator.js";
import type { CausalLM } from "../models/index.js";
import { cat, HostTensor, slice, type Tensor } from "../tensor/index.js";
import type { Carried, CarriedValues, Feeds, LossTerm, Objective, TracedFeeds } from "../training/index.js";
import { countTokens, labelFeeds, tokenFeeds, tokenTerm } from "../trainers/sft/objective.js";
import { requireNegatives, type InfoNCELoss, type InfoNCEOutput } from "./losses/index.js";
import { pooledPlaces, poolRows } from "./losses/pooling.js";
import { alignment, batchReciprocalRank, representationConsistency, uniformity } from "./metrics/index.js";

/** Where anchors were so far, an exponential mean that the consistency metric compares with. */
export class RepresentationReference implements Carried {
  #values: readonly number[];

  constructor(size: number) {
    this.#values = new Array<number>(size).fill(0);
  }

  feed(): HostTensor {
    return new HostTensor(this.#values, [this.#values.length], "float32");
  }

  update(values: readonly number[] | undefined): void {
    if (values !== undefined) this.#values = values;
  }

  /** For checkpoints: a run that goes on compares with the same mean. */
  state(): CarriedValues {
    return { numbers: { mean: this.#values } };
  }

  restore({ numbers }: CarriedValues): void {
    const mean = numbers?.["mean"];
    if (mean?.length === this.#values.length) this.#values = mean;
  }
}

const int32 = (data: Int32Array): HostTensor => new HostTensor(data, [data.length], "int32");

function contrastiveTerm(output: InfoNCEOutput, reference: Tensor): LossTerm {
  const { sum, weight, accuracy, temperature, anchor } = output;
  const { consistency, reference: next } = representationConsistency(anchor.detach(), reference);
  return {
    sum,
    weight,
    metrics: {
      "metrics/craft_contrastive_accuracy": accuracy.mul(weight),
      "metrics/craft_representation_consistency": consistency.mul(weight),
      "metrics/craft_temperature": temperature.detach().mul(weight),
    },
    observed: { reference: next },
  };
}

/** What an evaluation reports of pairs beside their loss. */
function evaluationTerm({
  sum,
  weight,
  accuracy,
  similarities,
  isNegative,
  anchor,
  positive,
}: InfoNCEOutput): LossTerm {
  return {
    sum,
    weight,
    metrics: {
      "metrics/craft_contrastive_accuracy": accuracy.mul(weight),
      "metrics/craft_mean_reciprocal_rank": batchReciprocalRank(similarities, isNegative).mul(weight),
      "metrics/craft_alignment": alignment(anchor, positive).mul(weight),
      "metrics/craft_uniformity": uniformity(anchor).mul(weight),
    },
  };
}

/**
 * InfoNCE over pairs; weight is the number of pairs that have a negative. The model's head is not run.
 *
 * Without a reference it is for evaluation, and reports the mean reciprocal rank of positives, alignment and uniformity
 * in the place of the consistency.
 */
export class ContrastiveObjective implements Objective<PairBatch> {
  readonly name = "contrastive";
  readonly #nce: InfoNCELoss;
  readonly #reference: RepresentationReference | undefined;

  constructor(nce: InfoNCELoss, reference?: RepresentationReference) {
    this.#nce = nce;
    this.#reference = reference;
  }

  feeds({ anchor, positive, anchorHash, positiveHash }: PairBatch): Feeds {
    requireNegatives({ anchorHash, positiveHash });
    const common = {
      anchorHash: int32(anchorHash),
      positiveHash: int32(positiveHash),
      ...(this.#reference === undefined ? {} : { reference: this.#reference.feed() }),
    };
    if (anchor.shape[1] === positive.shape[1]) {
      // Both sides pass through the model as one batch.
      const both = tokenFeeds({
        inputIds: Int32Array.from([...anchor.inputIds, ...positive.inputIds]),
        attentionMask: Int32Array.from([...anchor.attentionMask, ...positive.attentionMask]),
        shape: [2 * anchor.shape[0], anchor.shape[1]],
      });
      return { ...common, ...prefixed("both", both), anchorMask: mask(anchor), positiveMask: mask(positive) };
    }
    return {
      ...common,
      ...prefixed("anchor", tokenFeeds(anchor)),
      ...prefixed("positive", tokenFeeds(positive)),
      anchorMask: mask(anchor),
      positiveMask: mask(positive),
    };
  }

  loss(model: CausalLM, feeds: TracedFeeds): { readonly contrastive: LossTerm } {
    const { anchorMask, positiveMask, anchorHash, positiveHash } = feeds;
    const pairs = anchorHash!.shape[0]!;
    const pooled = (side: string, mask: Tensor): Tensor => pooledTexts(model, this.#nce, feeds, side, mask);
    const together =
      feeds["both_inputIds"] === undefined ? undefined : pooled("both", cat([anchorMask!, positiveMask!]));
    const output = this.#nce.forwardFromPooled(
      together === undefined ? pooled("anchor", anchorMask!) : slice(together, 0, 0, pairs),
      together === undefined ? pooled("positive", positiveMask!) : slice(together, 0, pairs),
      { hashes: { anchorHash: anchorHash!, positiveHash: positiveHash! } },
    );
    const { reference } = feeds;
    return {
      contrastive: reference === undefined ? evaluationTerm(output) : contrastiveTerm(output, reference),
    };
  }

  observe({ reference }: Readonly<Record<string, readonly number[]>>): void {
    this.#reference?.update(reference);
  }

  tokens({ anchor, positive }: PairBatch): number {
    return countTokens(anchor.attentionMask) + countTokens(positive.attentionMask);
  }
}

/** Pooled vectors of the texts of one side. Where a pooling takes one position, the model's last layer gives no other. */
function pooledTexts(
  model: CausalLM,
  nce: InfoNCELoss,
  feeds: TracedFeeds,
  side: string,
  mask: Tensor,
): Tensor {
  const attentionMask = feeds[`${side}_attentionMask`];
  const at = pooledPlaces(mask, nce.pooling);
  const hidden = model.hiddenStates(feeds[`${side}_inputIds`]!, { attentionMask, at });
  return at === undefined ? nce.pool(hidden, mask) : poolRows(hidden, mask);
}

/** Token loss and InfoNCE of one forward pass: a row's prompt is the anchor and what the assistant says its positive. */
export class SelfAlignObjective implements Objective<SelfAlignBatch> {
  readonly name = "self_align";
  readonly #nce: InfoNCELoss;
  readonly #reference: RepresentationReference;
  readonly #views: "prompt_response" | "full_response";

  constructor(
    nce: InfoNCELoss,
    reference: RepresentationReference,
    views: "prompt_response" | "full_response",
  ) {
    this.#nce = nce;
    this.#reference = reference;
    this.#views = views;
  }

  feeds(batch: SelfAlignBatch): Feeds {
    const { promptMask, assistantMask, attentionMask, anchorHash, positiveHash, shape } = batch;
    requireNegatives({ anchorHash, positiveHash });
    return {
      ...tokenFeeds(batch),
      ...labelFeeds(batch),
      anchorMask: new HostTensor(
        this.#views === "prompt_response" ? promptMask : attentionMask,
        shape,
        "int64",
      ),
      positiveMask: new HostTensor(assistantMask, shape, "int64"),
      anchorHash: int32(anchorHash),
      positiveHash: int32(positiveHash),
      reference: this.#reference.feed(),
    };
  }

  loss(model: CausalLM, feeds: TracedFeeds): { readonly sft: LossTerm; readonly contrastive: LossTerm } {
    const { inputIds, attentionMask, anchorMask, positiveMask, anchorHash, positiveHash, reference } = feeds;
    const hidden = model.hiddenStates(inputIds!, { attentionMask });
    const output = this.#nce.forward({
      anchorHidden: hidden,
      anchorMask: anchorMask!,
      positiveHidden: hidden,
      positiveMask: positiveMask!,
      hashes: { anchorHash: anchorHash!, positiveHash: positiveHash! },
    });
    return { sft: tokenTerm(model, hidden, feeds), contrastive: contrastiveTerm(output, reference!) };
  }

  observe({ reference }: Readonly<Record<string, readonly number[]>>): void {
    this.#reference.update(reference);
  }

  tokens(batch: SelfAlignBatch): number {
    return countTokens(batch.attentionMask);
  }
}

const mask = ({
  attentionMask,
  shape,
}: {
  readonly attentionMask: Int32Array;
  readonly shape: readonly number[];
}): HostTensor => new HostTensor(attentionMask, shape, "int64");

const prefixed = (prefix: string, feeds: Feeds): Feeds =>
  Object.fromEntries(Object.entries(feeds).map(([name, feed]) => [`${prefix}_${name}`, feed]));
