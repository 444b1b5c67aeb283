/** @file Log-probabilities of labels under a language model's head that never holds all logits. */
import {
  add,
  argmax,
  cat,
  customVjp,
  exp,
  full,
  indexSelect,
  logsumexp,
  mean,
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
import { defaultChunk, headRows, type HeadOptions, type HeadRows } from "./head_rows.js";

export interface TokenLogProbsInput extends HeadOptions {
  /** Final hidden states [..., size]. */
  readonly hidden: Tensor;
  /** Head weight [vocabulary, size]. */
  readonly weight: Tensor;
  /** Which rows of the flattened hidden states predict a label, int64 [n]; all of n rows by default. */
  readonly positions?: Tensor | undefined;
  /** The labels there, int64 [n]. */
  readonly labels: Tensor;
  /** Let gradients pass through `entropy` too. Default false. */
  readonly entropyGradient?: boolean | undefined;
  /** Rows whose logits are held at a time; by default as many as make up to 16 million logits. */
  readonly chunk?: number;
}

/**
 * What a head says of labels, each float32 [n] (float64 for hidden states in float64). What a program does not use is
 * not computed.
 */
export interface TokenLogProbs {
  /** log p(label), with p = softmax(logits). */
  readonly logProbs: Tensor;
  /** -sum over v of p(v) log p(v), in nats. Without a gradient unless `entropyGradient` asks for one. */
  readonly entropy: Tensor;
  /** 1 where the label is the likeliest token, else 0. No gradient. */
  readonly correct: Tensor;
  /** Mean of the logits over the vocabulary. No gradient. */
  readonly meanLogits: Tensor;
  /** log of the sum over v of p(v)^2. No gradient. */
  readonly logCollisions: Tensor;
}

/**
 * Log-probabilities of labels, from hidden states and the head's weight.
 *
 * Only the given positions pass through the head, `chunk` rows at a time, and no logits are kept for the backward pass.
 * The direction of each row's gradient, W[label] - p W, is formed while its logits are there, so that the backward pass
 * only scales it. Logits are computed a second time where the head itself is trained; where no gradient is asked for,
 * none of it is computed.
 */
export function tokenLogProbs({
  hidden,
  weight,
  positions,
  labels,
  entropyGradient = false,
  chunk = defaultChunk(weight),
  ...options
}: TokenLogProbsInput): TokenLogProbs {
  const size = hidden.shape.at(-1)!;
  const flat = reshape(hidden, [hidden.numel / size, size]);
  const rows = positions === undefined ? flat : indexSelect(flat, 0, positions);
  const starts = Array.from({ length: Math.ceil(labels.numel / chunk) }, (_, i) => i * chunk);
  const part = (x: Tensor, start: number): Tensor => slice(x, 0, start, start + chunk);
  const forward = (start: number): ChunkLogits =>
    new ChunkLogits(part(rows, start), weight, part(labels, start), options);
  const parts = starts.map((start) => ahead(forward(start), entropyGradient));
  const joined = (name: keyof TokenLogProbs): Tensor => cat(parts.map(({ values }) => values[name]));
  const results = entropyGradient ? [joined("logProbs"), joined("entropy")] : [joined("logProbs")];
  const [logProbs, entropy] = customVjp(
    [rows, weight],
    () => ({ results, keep: undefined }),
    ([g, ofEntropy]) => {
      const scaled = parts.map(({ direction, entropyDirection }, i) => {
        const along = (by: Tensor | undefined, way: Tensor): Tensor | undefined =>
          by === undefined ? undefined : mul(way, unsqueeze(part(by, starts[i]!), 1));
        return total([along(g, direction), along(ofEntropy, entropyDirection)]);
      });
      const ofWeight = starts.map((start) => {
        const again = forward(start);
        const slope = again.slope(g && part(g, start), ofEntropy && part(ofEntropy, start));
        return mm(transpose(slope, 0, 1), part(rows, start)).to(again.wide);
      });
      return [cat(scaled), total(ofWeight)];
    },
  );
  return {
    logProbs: logProbs!,
    entropy: entropy ?? joined("entropy").stopGradient(),
    correct: joined("correct").stopGradient(),
    meanLogits: joined("meanLogits").stopGradient(),
    logCollisions: joined("logCollisions").stopGradient(),
  };
}

const total = (terms: readonly (Tensor | undefined)[]): Tensor =>
  terms.filter((term) => term !== undefined).reduce((a, b) => add(a, b));

/** What is computed of a chunk while its logits are there. */
function ahead(chunk: ChunkLogits, entropyGradient: boolean) {
  return {
    values: chunk.values(),
    direction: chunk.towardsRows(chunk.ofLabel()),
    entropyDirection: entropyGradient ? chunk.towardsRows(chunk.ofEntropy()) : chunk.rows,
  };
}

class ChunkLogits {
  readonly rows: Tensor;
  readonly wide: "float32" | "float64";
  readonly #labels: Tensor;
  readonly #head: HeadRows;

  constructor(rows: Tensor, weight: Tensor, labels: Tensor, options: HeadOptions) {
    this.rows = rows;
    this.wide = rows.dtype === "float64" ? "float64" : "float32";
    this.#labels = labels;
    this.#head = headRows(rows, weight, options);
  }

  values(): TokenLogProbs {
    const { logits, logProbabilities } = this.#head;
    const labels = this.#labels;
    return {
      logProbs: reshape(logProbabilities.gather(1, unsqueeze(labels, 1)), [labels.numel]),
      entropy: this.#entropy(),
      correct: argmax(logits, -1).eq(labels).to(this.wide),
      meanLogits: mean(logits.to(this.wide), [1]),
      logCollisions: logsumexp(mul(logProbabilities, 2), [1]),
    };
  }

  #entropy(): Tensor {
    const { logProbabilities } = this.#head;
    return neg(sum(mul(exp(logProbabilities), logProbabilities), [1]));
  }

  /** d log p(label) / d logits = onehot(label) - p. */
  ofLabel(): Tensor {
    const index = unsqueeze(this.#labels, 1);
    const one = full([this.#labels.numel, 1], 1, this.wide);
    return scatterAdd(neg(exp(this.#head.logProbabilities)), 1, index, one);
  }

  /** d entropy / d logits = -p (log p + entropy). */
  ofEntropy(): Tensor {
    const { logProbabilities } = this.#head;
    return neg(mul(exp(logProbabilities), add(logProbabilities, unsqueeze(this.#entropy(), 1))));
  }

  /** From a gradient towards the logits to the one towards the rows. */
  towardsRows(ofLogits: Tensor): Tensor {
    const { head, toProducts } = this.#head;
    return mm(toProducts(ofLogits), head).to(this.wide);
  }

  /** The gradient towards the products of rows and head. */
  slope(ofLabel: Tensor | undefined, ofEntropy: Tensor | undefined): Tensor {
    const share = (by: Tensor | undefined, slope: () => Tensor): Tensor | undefined =>
      by === undefined ? undefined : mul(slope(), unsqueeze(by, 1));
    return this.#head.toProducts(
      total([share(ofLabel, () => this.ofLabel()), share(ofEntropy, () => this.ofEntropy())]),
    );
  }
}
