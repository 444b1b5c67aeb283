/** @file The losses of GRPO and its kin, as functions of log-probabilities. */
import {
  amax,
  amin,
  clamp,
  exp,
  indexSelect,
  minimum,
  scatterAdd,
  sigmoid,
  sub,
  sum,
  where,
  zeros,
  type Tensor,
} from "../../tensor/index.js";

export const grpoLossTypes = ["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"] as const;
export type GRPOLossType = (typeof grpoLossTypes)[number];

export interface GRPOLossOptions {
  readonly lossType: GRPOLossType;
  /** Ratios of single tokens, or one of each completion, the geometric mean (GSPO). */
  readonly importanceSamplingLevel: "token" | "sequence";
  readonly epsilon: number;
  /** The upper bound's; `epsilon` where it is undefined. Of cispo the cap of ratios itself. */
  readonly epsilonHigh?: number | undefined;
  /** Upper bound of ratios that are not clipped. */
  readonly delta?: number | undefined;
  /** Weight of the divergence from the reference. */
  readonly beta: number;
  /** Multiply the divergence by the ratio. */
  readonly useBiasCorrectionKl: boolean;
  /** Negative answers that the policy has moved away from further than this, in nats a token, are left out. */
  readonly offPolicyMaskThreshold?: number | undefined;
  readonly sapoTemperaturePos: number;
  readonly sapoTemperatureNeg: number;
  readonly vespoKPos: number;
  readonly vespoLambdaPos: number;
  readonly vespoKNeg: number;
  readonly vespoLambdaNeg: number;
  /** Completions are at most this long: what dr_grpo divides by. */
  readonly maxCompletionLength: number;
}

/** The tokens of completions, one after the other, with what is known of each; float32 [n] unless said otherwise. */
export interface GRPOTokens {
  /** By the policy. */
  readonly logProbs: Tensor;
  /** By the policy that the completions are from; that of now if undefined. */
  readonly oldLogProbs?: Tensor | undefined;
  /** By the reference, where beta is not 0. */
  readonly refLogProbs?: Tensor | undefined;
  /** Of the token's completion. */
  readonly advantages: Tensor;
  /** 1 for tokens that count, 0 for filling. */
  readonly mask: Tensor;
  /** Restricts the policy's loss to some tokens: 1 or 0. */
  readonly chosen?: Tensor | undefined;
  /** Which completion each token is of, int64. */
  readonly rows: Tensor;
  /** Number of completions. */
  readonly count: number;
  /** What dapo, cispo and vespo divide by, a scalar. */
  readonly items: Tensor;
}

export interface GRPOLoss {
  readonly sum: Tensor;
  /** What the sum is to be divided by. */
  readonly weight: Tensor;
  /** Means over the tokens, or over the completions where ratios are of completions. */
  readonly metrics: Readonly<Record<string, Tensor>>;
}

/**
 * The loss as a sum and what it is to be divided by, with x = log p - log p_old, r = e^x of a token or of a completion,
 * and advantages A, as in TRL 1.13:
 *
 * - grpo, bnpo, dr_grpo, dapo, luspo: -min(min(r, delta) A, clip(r, 1 - e, 1 + e_high) A)
 * - cispo: -min(r, e_high) A log p, the ratio without a gradient (MiniMax-M1)
 * - sapo: -(4 / t) sigmoid(t (r - 1)) A with t by the sign of A
 * - vespo: -phi A log p, log phi = l + k log w - l w, with w = e^(sum of x) and k, l by the sign of A
 *
 * plus beta (e^(q - p) - (q - p) - 1), q of the reference. Divided by: completions, of each the mean of its tokens (grpo,
 * sapo) or their sum (luspo); all tokens of the micro-batch, which then counts as one (bnpo); completions times their
 * greatest length (dr_grpo, Liu et al. 2025); `items` (dapo, Yu et al. 2025; cispo, vespo).
 */
export function grpoLoss(tokens: GRPOTokens, options: GRPOLossOptions): GRPOLoss {
  const rows = new Completions(tokens);
  const difference = sub(tokens.logProbs, tokens.oldLogProbs ?? tokens.logProbs.stopGradient());
  const ratio = exp(options.importanceSamplingLevel === "token" ? difference : rows.meansOf(difference));
  const policy = policyLoss(tokens, options, { difference, ratio, rows });
  const masks = [tokens.chosen, offPolicyMask(tokens, options, rows)].filter((one) => one !== undefined);
  const chosen = masks.reduce((loss, one) => loss.mul(one), policy.loss);
  if (options.beta === 0) return { ...aggregate(chosen, tokens, options, rows), metrics: policy.metrics };
  const kl = divergence(tokens, options.useBiasCorrectionKl ? ratio : undefined);
  return {
    ...aggregate(chosen.add(kl.mul(options.beta)), tokens, options, rows),
    metrics: { kl: rows.mean(kl), ...policy.metrics },
  };
}

/** Sums over the tokens that count, of each completion or of all. */
class Completions {
  readonly #tokens: GRPOTokens;
  /** Tokens of each completion that count, at least 1: [count]. */
  readonly lengths: Tensor;
  readonly #counted: Tensor;

  constructor(tokens: GRPOTokens) {
    this.#tokens = tokens;
    this.#counted = this.#sum(tokens.mask);
    this.lengths = this.#counted.maximum(1);
  }

  #sum(x: Tensor): Tensor {
    return scatterAdd(zeros([this.#tokens.count], x.dtype), 0, this.#tokens.rows, x);
  }

  /** Of [n] numbers, the sum of each completion: [count]. */
  sums(x: Tensor): Tensor {
    return this.#sum(x.mul(this.#tokens.mask));
  }

  /** Of [n] numbers, the mean of each completion: [count]. */
  means(x: Tensor): Tensor {
    return this.sums(x).div(this.lengths);
  }

  /** [count] numbers at the tokens: [n]. */
  at(perCompletion: Tensor): Tensor {
    return indexSelect(perCompletion, 0, this.#tokens.rows);
  }

  /** The mean of its completion at each token: [n]. */
  meansOf(x: Tensor): Tensor {
    return this.at(this.means(x));
  }

  /** Mean over all tokens. */
  mean(x: Tensor): Tensor {
    return sum(x.mul(this.#tokens.mask)).div(sum(this.#tokens.mask).maximum(1));
  }

  /** Mean of the completions' means; those of no token do not count. */
  meanOfMeans(x: Tensor): Tensor {
    return sum(this.means(x)).div(sum(this.#counted.gt(0).to(x.dtype)).maximum(1));
  }

  /** The smallest and the largest of the completions' means; those of no token have none. */
  extremes(x: Tensor): { readonly least: Tensor; readonly most: Tensor } {
    const means = this.means(x);
    const some = this.#counted.gt(0);
    return { least: amin(where(some, means, Infinity)), most: amax(where(some, means, -Infinity)) };
  }
}

interface PolicyShift {
  /** log p - log p_old, [n]. */
  readonly difference: Tensor;
  /** e to it, of tokens or completions: [n]. */
  readonly ratio: Tensor;
  readonly rows: Completions;
}

interface TokenLosses {
  readonly loss: Tensor;
  readonly metrics: Readonly<Record<string, Tensor>>;
}

function policyLoss(tokens: GRPOTokens, options: GRPOLossOptions, shift: PolicyShift): TokenLosses {
  const { advantages, logProbs } = tokens;
  const { lossType, epsilon, epsilonHigh = epsilon } = options;
  const { ratio } = shift;
  switch (lossType) {
    case "cispo": {
      const capped = clamp(ratio, undefined, epsilonHigh).stopGradient();
      const isCapped = ratio.gt(epsilonHigh).logicalAnd(advantages.gt(0));
      return {
        loss: capped.mul(advantages).mul(logProbs).neg(),
        metrics: { cispo_clip_ratio: meanOfFlags(isCapped, options, shift.rows) },
      };
    }
    case "sapo": {
      const { sapoTemperaturePos, sapoTemperatureNeg } = options;
      const t = where(advantages.gt(0), sapoTemperaturePos, sapoTemperatureNeg);
      const soft = sigmoid(t.mul(ratio.sub(1))).mul(t.reciprocal().mul(4));
      return { loss: soft.mul(advantages).neg(), metrics: {} };
    }
    case "vespo": {
      const phi = vespoWeights(tokens, options, shift);
      return {
        loss: phi.mul(advantages).mul(logProbs).neg(),
        metrics: { "vespo/phi_seq_mean": shift.rows.meanOfMeans(phi) },
      };
    }
    case "grpo":
    case "bnpo":
    case "dr_grpo":
    case "dapo":
    case "luspo":
      return clippedLoss(advantages, options, shift);
  }
}

function clippedLoss(
  advantages: Tensor,
  options: GRPOLossOptions,
  { ratio, rows }: PolicyShift,
): TokenLosses {
  const { epsilon, epsilonHigh = epsilon, delta } = options;
  const clipped = clamp(ratio, 1 - epsilon, 1 + epsilonHigh).mul(advantages);
  const bounded = delta === undefined ? ratio : clamp(ratio, undefined, delta);
  const low = bounded.lt(1 - epsilon).logicalAnd(advantages.lt(0));
  const high = bounded.gt(1 + epsilonHigh).logicalAnd(advantages.gt(0));
  return {
    loss: minimum(bounded.mul(advantages), clipped).neg(),
    metrics: {
      "clip_ratio/low_mean": meanOfFlags(low, options, rows),
      "clip_ratio/low_min": rows.extremes(low.to("float32")).least,
      "clip_ratio/high_mean": meanOfFlags(high, options, rows),
      "clip_ratio/high_max": rows.extremes(high.to("float32")).most,
      "clip_ratio/region_mean": meanOfFlags(low.logicalOr(high), options, rows),
    },
  };
}

/** Over tokens, or over completions where these have one ratio each. */
const meanOfFlags = (
  flags: Tensor,
  { importanceSamplingLevel }: GRPOLossOptions,
  rows: Completions,
): Tensor =>
  importanceSamplingLevel === "token"
    ? rows.mean(flags.to("float32"))
    : rows.meanOfMeans(flags.to("float32"));

/** phi of VESPO at each token, without a gradient. */
function vespoWeights(
  { advantages }: GRPOTokens,
  options: GRPOLossOptions,
  { difference, rows }: PolicyShift,
): Tensor {
  const logWeight = rows.at(clamp(rows.sums(clamp(difference.stopGradient(), -20, 20)), Math.log(1e-8), 20));
  const positive = advantages.ge(0);
  const k = where(positive, options.vespoKPos, options.vespoKNeg);
  const lambda = where(
    positive,
    Math.max(1e-4, options.vespoLambdaPos),
    Math.max(1e-4, options.vespoLambdaNeg),
  );
  return exp(lambda.add(k.mul(logWeight)).sub(lambda.mul(exp(logWeight)))).stopGradient();
}

/** 0 where the completion is worse than the others and the policy has left it: DeepSeek-V3.2's off-policy mask. */
function offPolicyMask(
  { logProbs, oldLogProbs, advantages }: GRPOTokens,
  { offPolicyMaskThreshold: threshold }: GRPOLossOptions,
  rows: Completions,
): Tensor | undefined {
  if (threshold === undefined || oldLogProbs === undefined) return undefined;
  const moved = rows.meansOf(oldLogProbs.sub(logProbs.stopGradient()));
  return advantages.ge(0).logicalOr(moved.le(threshold)).to(logProbs.dtype);
}

/** e^(q - p) - (q - p) - 1, times the ratio if there is one. */
function divergence({ logProbs, refLogProbs }: GRPOTokens, ratio: Tensor | undefined): Tensor {
  const difference = sub(refLogProbs!, logProbs);
  const kl = exp(difference).sub(difference).sub(1);
  return ratio === undefined ? kl : kl.mul(ratio);
}

function aggregate(
  loss: Tensor,
  { mask, count, items }: GRPOTokens,
  { lossType, maxCompletionLength }: GRPOLossOptions,
  rows: Completions,
): { readonly sum: Tensor; readonly weight: Tensor } {
  const whole = (weight: number): Tensor => zeros([]).add(weight);
  switch (lossType) {
    case "grpo":
    case "sapo":
      return { sum: sum(rows.means(loss)), weight: whole(count) };
    case "luspo":
      return { sum: sum(rows.sums(loss)), weight: whole(count) };
    case "bnpo":
      return { sum: rows.mean(loss), weight: whole(1) };
    case "dr_grpo":
      return { sum: sum(loss.mul(mask)), weight: whole(count * maxCompletionLength) };
    case "dapo":
    case "cispo":
    case "vespo":
      return { sum: sum(loss.mul(mask)), weight: items };
  }
}
