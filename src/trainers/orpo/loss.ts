import { exp, expm1, log, log1p, neg, sub, where, type Tensor } from "../../tensor/index.js";
import type { Sides } from "../preference/feeds.js";

/** log(1 - e^x) for x < 0, accurate near 0 and far from it (Mächler 2012). */
export const log1mexp = (x: Tensor): Tensor => where(x.lt(-Math.LN2), log1p(neg(exp(x))), log(neg(expm1(x))));

/**
 * log(odds(chosen) / odds(rejected)) with odds(p) = p / (1 - p), of the geometric mean of each answer's token
 * probabilities (Hong et al. 2024, ORPO).
 *
 * @param means mean log-probabilities of the answers' tokens, [pairs] each
 */
export const logOddsRatio = ({ chosen, rejected }: Sides): Tensor =>
  sub(sub(chosen, rejected), sub(log1mexp(chosen), log1mexp(rejected)));
