/** @file From rewards and values of single tokens to advantages and returns. */

/** Numbers of the tokens of one completion. */
export interface Estimated {
  readonly advantages: readonly number[];
  /** Advantages plus values: what values are trained towards. */
  readonly returns: readonly number[];
}

/**
 * Generalised advantage estimation (Schulman et al. 2016), backwards over the tokens of a completion:
 *
 *     delta_t = r_t + gamma V_{t+1} - V_t      A_t = delta_t + gamma lambda A_{t+1}      R_t = A_t + V_t
 *
 * with V = A = 0 after the last token.
 */
export function generalisedAdvantages(
  rewards: readonly number[],
  values: readonly number[],
  { gamma, lam }: { readonly gamma: number; readonly lam: number },
): Estimated {
  const advantages = new Array<number>(rewards.length).fill(0);
  let later = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const delta = rewards[t]! + gamma * (values[t + 1] ?? 0) - values[t]!;
    later = delta + gamma * lam * later;
    advantages[t] = later;
  }
  return { advantages, returns: advantages.map((advantage, t) => advantage + values[t]!) };
}

/**
 * Numbers of all tokens of several completions with variance 1 and, unless `shiftMean` is false, mean 0:
 * (x - m) / sqrt(v + 1e-8), with v the variance over n - 1. A single number has no variance, and stays as it is.
 */
export function whitened(rows: readonly (readonly number[])[], shiftMean = true): number[][] {
  const all = rows.flat();
  if (all.length < 2) return rows.map((row) => [...row]);
  const mean = all.reduce((a, b) => a + b, 0) / all.length;
  const variance = all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (all.length - 1);
  const scale = 1 / Math.sqrt(variance + 1e-8);
  return rows.map((row) => row.map((x) => (x - mean) * scale + (shiftMean ? 0 : mean)));
}

export const klEstimators = ["k1", "k3"] as const;
export type KlEstimator = (typeof klEstimators)[number];

/** Of a token, from its log-probabilities p and q by policy and reference: p - q, or e^(q - p) - (q - p) - 1. */
export function klEstimate(estimator: KlEstimator, policy: number, reference: number): number {
  const difference = reference - policy;
  return estimator === "k1" ? -difference : Math.exp(difference) - difference - 1;
}
