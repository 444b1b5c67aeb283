import { mul, tanh, type Tensor } from "../tensor/index.js";

/** cap * tanh(x / cap): nearly x near 0, never beyond the cap (Bello et al. 2016). */
export const softcap = (x: Tensor, cap: number): Tensor => mul(tanh(mul(x, 1 / cap)), cap);
