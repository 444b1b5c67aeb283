/** @file Where a batch carries labels, so that the head of a model runs there and nowhere else. */
import { bucketSize, type BucketOptions } from "./buckets.js";
import type { LanguageModelingBatch } from "./collator.js";
import { ignoredLabel } from "./tokens.js";

/** The positions of a batch whose next token is to be predicted. The three arrays have one length, a bucket. */
export interface LabelPositions {
  /** Places in the flattened [rows * length] positions: `row * length + t` predicts the token at t + 1. */
  readonly index: Int32Array;
  /** The token to predict at each place. */
  readonly target: Int32Array;
  /** 1 for each label; 0 for the filling up to the bucket, where index and target are 0. */
  readonly weight: Float32Array;
  /** How many labels there are, that is the sum of the weights. */
  readonly count: number;
}

/**
 * Lists where labels are predicted from. Position t predicts the label at t + 1, so a label at the first position of a
 * row or of a document is no label, nor is one whose position before is padding: left and right padding give the same
 * labels.
 *
 * @param buckets - how the number of labels is rounded up; see {@link bucketSize}.
 */
export function labelPositions(
  batch: Pick<LanguageModelingBatch, "labels" | "attentionMask" | "documents" | "shape">,
  buckets: BucketOptions = {},
): LabelPositions {
  const { labels, attentionMask, documents, shape } = batch;
  const [, length] = shape;
  const places: number[] = [];
  for (let at = 0; at + 1 < labels.length; at++) {
    const last = at % length === length - 1 || documents?.[at] !== documents?.[at + 1];
    if (!last && attentionMask[at] === 1 && labels[at + 1] !== ignoredLabel) places.push(at);
  }
  const size = bucketSize(places.length, buckets);
  const index = new Int32Array(size);
  const target = new Int32Array(size);
  const weight = new Float32Array(size);
  places.forEach((place, i) => {
    index[i] = place;
    target[i] = labels[place + 1]!;
    weight[i] = 1;
  });
  return { index, target, weight, count: places.length };
}
