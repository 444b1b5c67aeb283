import { CraftError } from "../../errors.js";
import { add, mul, type Tensor } from "../../tensor/index.js";

/**
 * alpha * sft + (1 - alpha) * contrastive, of two mean losses (scalars).
 *
 * @param alpha from 0 to 1
 */
export function combineCraftLosses(sft: Tensor, contrastive: Tensor, alpha: number): Tensor {
  return add(mul(sft, requireAlpha(alpha)), mul(contrastive, 1 - alpha));
}

/** @throws {@link CraftError} unless alpha lies in [0, 1]. */
export function requireAlpha(alpha: number): number {
  if (alpha >= 0 && alpha <= 1) return alpha;
  throw new CraftError({
    subject: "craftAlpha",
    value: Number.isFinite(alpha) ? alpha : String(alpha),
    reason: "must be a number from 0 (contrastive loss only) to 1 (base loss only)",
  });
}
