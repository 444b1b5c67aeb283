import { full, sub, unsqueeze, where, type Tensor } from "../tensor/index.js";

/**
 * Bias that hides the tokens that stand `window` or more before the one that looks: [..., queries, keys], 0 or minus
 * infinity. Added to the causal bias it leaves each token itself and the `window - 1` before it.
 *
 * @param queries int64 [..., queries]: places of the tokens that look
 * @param keys int64 [..., keys]: places of those that are looked at
 */
export function windowBias(queries: Tensor, keys: Tensor, window: number): Tensor {
  const first = unsqueeze(sub(queries, window - 1), -1);
  return where(unsqueeze(keys, -2).ge(first), full([], 0), full([], -Infinity));
}
