/** @file The losses of PPO, as functions of log-probabilities and values. */
import { clamp, exp, maximum, square, sub, sum, type Tensor } from "../../tensor/index.js";

export interface PPOLossOptions {
  /** Ratios of the policy are clipped to 1 plus or minus this. */
  readonly cliprange: number;
  /** Values are clipped to the old ones plus or minus this. */
  readonly cliprangeValue: number;
  /** Weight of the loss of values. */
  readonly vfCoef: number;
}

/** Float32 [n], of the tokens of completions one after the other. */
export interface PPOTokens {
  readonly logProbs: Tensor;
  readonly oldLogProbs: Tensor;
  readonly values: Tensor;
  readonly oldValues: Tensor;
  readonly advantages: Tensor;
  readonly returns: Tensor;
  /** 1 for tokens that count, 0 for filling. */
  readonly mask: Tensor;
}

export interface PPOLoss {
  /** Summed over the tokens. */
  readonly sum: Tensor;
  /** The number of tokens. */
  readonly weight: Tensor;
  /** Further sums over the tokens. */
  readonly metrics: Readonly<Record<string, Tensor>>;
}

/**
 * Proximal policy optimisation (Schulman et al. 2017), with r = p / p_old: of each token
 *
 *     max(-A r, -A clip(r, 1 - c, 1 + c)) + vf_coef / 2 max((V - R)^2, (clip(V, V_old - c_v, V_old + c_v) - R)^2)
 */
export function ppoLoss(tokens: PPOTokens, options: PPOLossOptions): PPOLoss {
  const { logProbs, oldLogProbs, values, oldValues, advantages, returns, mask } = tokens;
  const { cliprange, cliprangeValue, vfCoef } = options;
  const total = (x: Tensor): Tensor => sum(x.mul(mask));
  const moved = sub(logProbs, oldLogProbs);
  const ratio = exp(moved);
  const plain = advantages.mul(ratio).neg();
  const clipped = advantages.mul(clamp(ratio, 1 - cliprange, 1 + cliprange)).neg();
  const policy = total(maximum(plain, clipped));
  const shift = values.sub(oldValues);
  const near = oldValues.add(clamp(shift, -cliprangeValue, cliprangeValue));
  const [free, bound] = [square(values.sub(returns)), square(near.sub(returns))];
  const value = total(maximum(free, bound)).mul(0.5);
  return {
    sum: policy.add(value.mul(vfCoef)),
    weight: sum(mask),
    metrics: {
      "loss/policy_avg": policy,
      "loss/value_avg": value,
      "policy/approxkl_avg": total(square(moved)).mul(0.5),
      "policy/clipfrac_avg": total(clipped.gt(plain).to(ratio.dtype)),
      "val/clipfrac_avg": total(bound.gt(free).to(ratio.dtype)),
      "val/ratio": total(ratio),
    },
  };
}
