/** @file Cross-entropy of a language model head that never holds all logits. */
import {
  add,
  cat,
  customVjp,
  exp,
  full,
  indexSelect,
  mm,
  mul,
  neg,
  reshape,
  scatterAdd,
  slice,
  sum,
  transpose,
  unsqueeze,
  type Tensor,
} from "../tensor/index.js";
import { defaultChunk, headRows, type HeadOptions } from "./head_rows.js";

export interface TokenLossInput extends HeadOptions {
  /** Final hidden states [..., size]. */
  readonly hidden: Tensor;
  /** Head weight [vocabulary, size]. */
  readonly weight: Tensor;
  /** Which rows of the flattened hidden states predict a label, int64 [n]; all of n rows by default. */
  readonly positions?: Tensor | undefined;
  /** The labels there, int64 [n]. */
  readonly labels: Tensor;
  /** Weight of each label, float32 [n]; 0 for places that only fill a bucket. */
  readonly weights: Tensor;
  /** Share of each label that is spread evenly over the vocabulary, in [0, 1); 0 by default. */
  readonly smoothing?: number | undefined;
  /** Rows whose logits are held at a time; by default as many as make up to 16 million logits. */
  readonly chunk?: number;
}

/**
 * Sum over n of -weights[n] * log softmax(hidden[positions[n]] W^T)[labels[n]]: a float32 scalar. With smoothing e, the
 * log-probability is (1 - e) times the label's plus e times the mean over the vocabulary (Szegedy et al. 2016), as
 * transformers' LabelSmoother has it.
 *
 * Only the given positions pass through the head, `chunk` rows at a time. Each chunk's gradient
 * (softmax - target) W is formed while its logits are there, so that the backward pass only scales it; where no
 * gradient is asked for, none of it is computed.
 */
export function tokenLoss({
  hidden,
  weight,
  positions,
  labels,
  weights,
  smoothing = 0,
  chunk = defaultChunk(weight),
  ...options
}: TokenLossInput): Tensor {
  const size = hidden.shape.at(-1)!;
  const flat = reshape(hidden, [hidden.numel / size, size]);
  const rows = positions === undefined ? flat : indexSelect(flat, 0, positions);
  const [loss] = customVjp(
    [rows, weight],
    (h, w) => {
      const parts: ChunkLoss[] = [];
      for (let start = 0; start < labels.numel; start += chunk) {
        const part = (x: Tensor): Tensor => slice(x, 0, start, start + chunk);
        parts.push(chunkLoss(part(h), w, part(labels), part(weights), smoothing, options));
      }
      return { results: [parts.map((p) => p.loss).reduce((a, b) => add(a, b))], keep: parts };
    },
    ([g], parts) => [
      mul(cat(parts.map((p) => p.hiddenGradient)), g!),
      mul(
        parts.map((p) => p.weightGradient).reduce((a, b) => add(a, b)),
        g!,
      ),
    ],
  );
  return loss!;
}

interface ChunkLoss {
  readonly loss: Tensor;
  readonly hiddenGradient: Tensor;
  readonly weightGradient: Tensor;
}

function chunkLoss(
  hidden: Tensor,
  weight: Tensor,
  labels: Tensor,
  weights: Tensor,
  smoothing: number,
  options: HeadOptions,
): ChunkLoss {
  const wide = hidden.dtype === "float64" ? "float64" : "float32";
  const { head, logProbabilities, toProducts } = headRows(hidden, weight, options);
  const index = unsqueeze(labels, 1);
  const ofLabel = reshape(logProbabilities.gather(1, index), [labels.numel]);
  const even = smoothing / weight.shape[0]!;
  const chosen =
    smoothing === 0 ? ofLabel : add(mul(ofLabel, 1 - smoothing), mul(sum(logProbabilities, [1]), even));
  // d loss / d logits = softmax - target for each row, times the row's weight.
  const probabilities = exp(logProbabilities);
  const spread = smoothing === 0 ? probabilities : add(probabilities, -even);
  const ofTarget = full([labels.numel, 1], smoothing - 1, wide);
  const ofLogits = scatterAdd(spread, 1, index, ofTarget);
  const difference = toProducts(ofLogits);
  const rowWeights = unsqueeze(weights, 1).to(wide);
  const weighted = mul(hidden.to(wide), rowWeights).to(hidden.dtype);
  return {
    loss: neg(sum(mul(chosen, weights))),
    hiddenGradient: mul(mm(difference, head).to(wide), rowWeights),
    weightGradient: mm(transpose(difference, 0, 1), weighted).to(wide),
  };
}
