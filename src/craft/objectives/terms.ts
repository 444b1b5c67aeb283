/** @file The contrastive loss of pooled vectors, with what is reported of it. */
import { cat, expand, HostTensor, ones, unsqueeze, type Tensor } from "../../tensor/index.js";
import type { Feeds, LossTerm, TracedFeeds } from "../../training/objective.js";
import {
  anchorsWithNegatives,
  hasNegatives,
  positivesWithNegatives,
  queuedNegatives,
  requireNegatives,
  type HostHashes,
  type InfoNCELoss,
  type InfoNCEOutput,
  type PooledContrast,
} from "../losses/index.js";
import { alignment, batchReciprocalRank, representationConsistency, uniformity } from "../metrics/index.js";
import type { ContrastiveMemory } from "./memory.js";

/** Pooled texts. */
export interface PooledTexts {
  /** [n, h] */
  readonly anchor: Tensor;
  /** [n, h] */
  readonly positive: Tensor;
  /** Negatives of every anchor, [k, h]. */
  readonly negatives?: Tensor | undefined;
}

const int32 = (data: Int32Array): HostTensor => new HostTensor(data, [data.length], "int32");

/**
 * What {@link contrastiveTerm} reads beside pooled texts.
 *
 * @param memory undefined in evaluations
 * @param filling how many hard negatives, the last ones, only fill up and are not to be contrasted with
 * @throws CraftError for a batch in which no pair has a negative.
 */
export function contrastFeeds(hashes: HostHashes, memory: ContrastiveMemory | undefined, filling = 0): Feeds {
  const { anchorHash, positiveHash, negativeHash } = hashes;
  if (!hasNegatives(hashes) && memory?.queue?.hasNegatives(hashes) !== true) requireNegatives(hashes);
  const k = negativeHash?.length ?? 0;
  const real = Uint8Array.from({ length: k }, (_, i) => Number(i < k - filling));
  return {
    anchorHash: int32(anchorHash),
    positiveHash: int32(positiveHash),
    ...(negativeHash && {
      negativeHash: int32(negativeHash),
      negativeReal: new HostTensor(real, [k], "bool"),
    }),
    ...memory?.feeds(),
  };
}

/** The weight of {@link contrastiveTerm} in training, counted on the host. */
export function contrastedPairs(
  nce: InfoNCELoss,
  hashes: HostHashes,
  memory: ContrastiveMemory | undefined,
): number {
  const count = (pairs: readonly boolean[]): number => pairs.filter(Boolean).length;
  const queued = memory?.queue?.anchorsWithNegatives(hashes);
  const forward = count(anchorsWithNegatives(hashes).map((found, i) => found || queued?.[i] === true));
  return nce.symmetric ? (forward + count(positivesWithNegatives(hashes))) / 2 : forward;
}

/** InfoNCE of pooled texts; weight is the number of pairs that have a negative. */
export function contrastiveTerm(nce: InfoNCELoss, texts: PooledTexts, feeds: TracedFeeds): LossTerm {
  const { anchor, positive } = texts;
  const output = nce.forwardFromPooled(anchor, positive, contrastOf(texts, feeds));
  const { reference, queueVectors } = feeds;
  return reference === undefined
    ? evaluationTerm(output)
    : trainingTerm(output, reference, queueVectors !== undefined);
}

function contrastOf({ anchor, negatives: hard }: PooledTexts, feeds: TracedFeeds): PooledContrast {
  const { anchorHash, positiveHash, negativeHash, negativeReal } = feeds;
  const { queueVectors: vectors, queueHashes: hashes, queueFilled: filled } = feeds;
  const texts = { anchorHash: anchorHash!, positiveHash: positiveHash! };
  const queued = vectors && queuedNegatives({ vectors, hashes: hashes!, filled: filled! }, texts);
  const others = [negativeHash, queued?.negativeHash].filter((each) => each !== undefined);
  const n = anchor.shape[0]!;
  const free = (columns: number): Tensor => ones([columns], "bool");
  const columns = negativeReal && [free(n), negativeReal, free(vectors?.shape[0] ?? 0)];
  return {
    hardNegatives: hard,
    negatives: queued?.negatives,
    negativesAllowed: queued?.negativesAllowed,
    hashes: { ...texts, negativeHash: others.length === 0 ? undefined : cat(others) },
    allowed: columns && everyRow(n, cat(columns)),
  };
}

const everyRow = (n: number, row: Tensor): Tensor => expand(unsqueeze(row, 0), [n, row.shape[0]!]);

function trainingTerm(output: InfoNCEOutput, reference: Tensor, queues: boolean): LossTerm {
  const { sum, weight, accuracy, temperature, anchor, positive } = output;
  const { consistency, reference: next } = representationConsistency(anchor.detach(), reference);
  return {
    sum,
    weight,
    metrics: {
      "metrics/craft_contrastive_accuracy": accuracy.mul(weight),
      "metrics/craft_representation_consistency": consistency.mul(weight),
      "metrics/craft_temperature": temperature.detach().mul(weight),
    },
    observed: { reference: next, ...(queues && { positives: positive }) },
  };
}

/** What an evaluation reports of pairs beside their loss. One pair alone has no uniformity. */
function evaluationTerm(output: InfoNCEOutput): LossTerm {
  const { sum, weight, accuracy, similarities, isNegative, anchor, positive } = output;
  return {
    sum,
    weight,
    metrics: {
      "metrics/craft_contrastive_accuracy": accuracy.mul(weight),
      "metrics/craft_mean_reciprocal_rank": batchReciprocalRank(similarities, isNegative).mul(weight),
      "metrics/craft_alignment": alignment(anchor, positive).mul(weight),
      ...(anchor.shape[0]! > 1 && { "metrics/craft_uniformity": uniformity(anchor).mul(weight) }),
    },
  };
}
