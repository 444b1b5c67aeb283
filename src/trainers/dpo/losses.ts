/** @file The losses of DPO and its relatives, as functions of log-probabilities; one number for each pair. */
import {
  add,
  clamp,
  constant,
  div,
  exp,
  logSigmoid,
  mul,
  neg,
  relu,
  sigmoid,
  sort,
  square,
  sub,
  type Tensor,
} from "../../tensor/index.js";
import type { Sides } from "../preference/feeds.js";

/** Losses over pairs. */
export const pairLosses = [
  "sigmoid",
  "hinge",
  "ipo",
  "exo_pair",
  "nca_pair",
  "robust",
  "bco_pair",
  "sppo_hard",
  "aot",
  "aot_unpaired",
  "apo_zero",
  "apo_down",
  "discopop",
  "sigmoid_norm",
] as const;
export type PairLoss = (typeof pairLosses)[number];

export const divergences = ["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"] as const;
export type Divergence = (typeof divergences)[number];

export interface PairLossOptions {
  readonly beta: number;
  readonly labelSmoothing: number;
  readonly discopopTau: number;
  readonly fDivergenceType: Divergence;
  readonly fAlphaDivergenceCoef: number;
}

/** Log-probabilities of answers, [pairs] each. */
export interface PairLogProbs {
  readonly policy: Sides;
  readonly reference: Sides;
  /** Tokens of the answers. */
  readonly lengths: Sides;
}

const both = (f: (side: keyof Sides) => Tensor): Sides => ({ chosen: f("chosen"), rejected: f("rejected") });

/** r = log p(answer) - log p_ref(answer), whose product with beta is DPO's implicit reward. */
export const logRatios = ({ policy, reference }: PairLogProbs): Sides =>
  both((side) => sub(policy[side], reference[side]));

/**
 * f'(p / p_ref) for the divergence f that keeps the policy near its reference, shifted to be 0 at 1 (Wang et al. 2023,
 * f-DPO): r, 1 - e^-r, log 2 + log sigmoid(r), or (e^((a - 1) r) - 1) / (a - 1).
 */
export function divergenceScore(
  r: Tensor,
  { fDivergenceType, fAlphaDivergenceCoef: a }: PairLossOptions,
): Tensor {
  switch (fDivergenceType) {
    case "reverse_kl":
      return r;
    case "forward_kl":
      return sub(1, exp(neg(r)));
    case "js_divergence":
      return add(logSigmoid(r), Math.LN2);
    case "alpha_divergence":
      if (Math.abs(a - 1) < 1e-6) return r;
      return mul(sub(exp(clamp(mul(r, a - 1), undefined, 80)), 1), 1 / (a - 1));
  }
}

/** -(1 - e) log sigmoid(x) - e log sigmoid(-x): the logistic loss where a share e of the labels is wrong. */
const smoothed = (x: Tensor, e: number): Tensor =>
  neg(add(mul(logSigmoid(x), 1 - e), mul(logSigmoid(neg(x)), e)));

const sorted = (x: Tensor): Tensor => sort(x, 0).values;

type Loss = (of: PairLogProbs, options: PairLossOptions) => Tensor;

/** beta times the difference of the scores. */
const logits: Loss = (of, options) => {
  const r = logRatios(of);
  const { chosen, rejected } = both((side) => divergenceScore(r[side], options));
  return mul(sub(chosen, rejected), options.beta);
};

/** The difference of the scores for each token of their answers. */
const scoresPerToken: Loss = (of, options) => {
  const r = logRatios(of);
  const { chosen, rejected } = both((side) => div(divergenceScore(r[side], options), of.lengths[side]));
  return sub(chosen, rejected);
};

/** beta r */
const rewards = (of: PairLogProbs, beta: number): Sides => {
  const r = logRatios(of);
  return both((side) => mul(r[side], beta));
};

const table: Readonly<Record<PairLoss, Loss>> = {
  /** -log sigmoid(beta D) (Rafailov et al. 2023, DPO) */
  sigmoid: (of, options) => neg(logSigmoid(logits(of, options))),
  /** max(0, 1 - beta D) (Zhao et al. 2023, SLiC) */
  hinge: (of, options) => relu(sub(1, logits(of, options))),
  /** (D per token - 1 / (2 beta))^2 (Azar et al. 2023, IPO) */
  ipo: (of, options) => square(sub(scoresPerToken(of, options), 1 / (2 * options.beta))),
  /** KL(sigmoid(beta D) || 1 - e) (Ji et al. 2024, EXO) */
  exo_pair: (of, options) => {
    const x = logits(of, options);
    const e = options.labelSmoothing;
    const term = (y: Tensor, p: number): Tensor => mul(sigmoid(y), sub(logSigmoid(y), Math.log(p)));
    return add(term(x, 1 - e), term(neg(x), e));
  },
  /** -log s(b r_w) - (log s(-b r_w) + log s(-b r_l)) / 2 (Chen et al. 2024, NCA) */
  nca_pair: (of, { beta }) => {
    const { chosen, rejected } = rewards(of, beta);
    const away = add(logSigmoid(neg(chosen)), logSigmoid(neg(rejected)));
    return neg(add(logSigmoid(chosen), mul(away, 0.5)));
  },
  /** (-(1 - e) log s(beta D) + e log s(-beta D)) / (1 - 2 e) (Chowdhury et al. 2024, robust DPO) */
  robust: (of, options) => {
    const x = logits(of, options);
    const e = options.labelSmoothing;
    const clean = mul(logSigmoid(x), 1 - e);
    return mul(sub(mul(logSigmoid(neg(x)), e), clean), 1 / (1 - 2 * e));
  },
  /** -log s(b r_w) - log s(-b r_l) (Jung et al. 2024, BCO, without its shift) */
  bco_pair: (of, { beta }) => {
    const { chosen, rejected } = rewards(of, beta);
    return neg(add(logSigmoid(chosen), logSigmoid(neg(rejected))));
  },
  /** (r_w - 1 / (2 beta))^2 + (r_l + 1 / (2 beta))^2 (Wu et al. 2024, SPPO with hard labels) */
  sppo_hard: (of, { beta }) => {
    const { chosen, rejected } = logRatios(of);
    return add(square(sub(chosen, 0.5 / beta)), square(add(rejected, 0.5 / beta)));
  },
  /** The smoothed logistic loss of sorted margins, policy against reference (Melnyk et al. 2024, AOT) */
  aot: ({ policy, reference }, { beta, labelSmoothing }) => {
    const margins = sorted(sub(policy.chosen, policy.rejected));
    const before = sorted(sub(reference.chosen, reference.rejected));
    return smoothed(mul(sub(margins, before), beta), labelSmoothing);
  },
  /** The same of sorted ratios, chosen against rejected */
  aot_unpaired: (of, { beta, labelSmoothing }) => {
    const { chosen, rejected } = logRatios(of);
    return smoothed(mul(sub(sorted(chosen), sorted(rejected)), beta), labelSmoothing);
  },
  /** 1 - s(b r_w) + s(b r_l) (D'Oosterlinck et al. 2024, APO-zero) */
  apo_zero: (of, { beta }) => {
    const { chosen, rejected } = rewards(of, beta);
    return add(sub(1, sigmoid(chosen)), sigmoid(rejected));
  },
  /** s(b r_w) + 1 - s(b (r_w - r_l)) (the same, APO-down) */
  apo_down: (of, { beta }) => {
    const { chosen, rejected } = rewards(of, beta);
    return add(sigmoid(chosen), sub(1, sigmoid(sub(chosen, rejected))));
  },
  /** (1 - m) (-log s(x)) + m e^-x with x = beta D and m = s(x / tau) (Lu et al. 2024, DiscoPOP) */
  discopop: (of, options) => {
    const x = logits(of, options);
    const m = sigmoid(mul(x, 1 / options.discopopTau));
    return add(mul(neg(logSigmoid(x)), sub(1, m)), mul(exp(neg(x)), m));
  },
  /** -log s(beta D per token) (Grinsztajn et al. 2024; SimPO's normalisation with a reference) */
  sigmoid_norm: (of, options) => neg(logSigmoid(mul(scoresPerToken(of, options), options.beta))),
};

/** The loss of each pair: [pairs]. */
export const pairLoss = (name: PairLoss, of: PairLogProbs, options: PairLossOptions): Tensor =>
  table[name](of, options);

/** Sums of rewards and the like over pairs, as TRL logs them. */
export function rewardMetrics({ chosen, rejected }: Sides): Readonly<Record<string, Tensor>> {
  const margins = sub(chosen, rejected);
  return {
    "rewards/chosen": chosen.sum(),
    "rewards/rejected": rejected.sum(),
    "rewards/accuracies": margins.gt(constant(0, margins.dtype)).to("float32").sum(),
    "rewards/margins": margins.sum(),
  };
}
