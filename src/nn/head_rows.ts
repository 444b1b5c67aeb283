import { logSoftmax, mm, mul, square, sub, transpose, type Tensor } from "../tensor/index.js";
import { softcap } from "./softcap.js";

export interface HeadOptions {
  /** Logits z are softcap * tanh(z / softcap) where this is given, as in `model.logitSoftcap`. */
  readonly softcap?: number | undefined;
  /** What logits are divided by after that; 1 by default. */
  readonly temperature?: number | undefined;
}

/** What a language model's head says of some rows, and the way back. */
export interface HeadRows {
  /** The head's weight [vocabulary, size] in the dtype of the rows. */
  readonly head: Tensor;
  /** Logits [n, vocabulary], in the rows' dtype where nothing was done to them, else in float32. */
  readonly logits: Tensor;
  /** Their log softmax, in float32. */
  readonly logProbabilities: Tensor;
  /** From a gradient towards the logits to the one towards the products of rows and head, in the rows' dtype. */
  readonly toProducts: (ofLogits: Tensor) => Tensor;
}

/** Rows whose logits are held at a time unless told otherwise: as many as make up to 16 million logits. */
export const defaultChunk = (weight: Tensor): number => Math.max(32, Math.floor(2 ** 24 / weight.shape[0]!));

/**
 * Runs the head on rows.
 *
 * @param hidden rows [n, size]
 * @param weight [vocabulary, size]
 */
export function headRows(
  hidden: Tensor,
  weight: Tensor,
  { softcap: cap, temperature = 1 }: HeadOptions,
): HeadRows {
  const head = weight.to(hidden.dtype);
  const wide = hidden.dtype === "float64" ? "float64" : "float32";
  const products = mm(hidden, transpose(head, 0, 1));
  const capped = cap === undefined ? undefined : softcap(products.to(wide), cap);
  const uncooled = capped ?? products;
  const logits = temperature === 1 ? uncooled : mul(uncooled.to(wide), 1 / temperature);
  return {
    head,
    logits,
    logProbabilities: logSoftmax(logits, -1, wide),
    toProducts: (ofLogits) => {
      const warm = temperature === 1 ? ofLogits : mul(ofLogits, 1 / temperature);
      // d softcap(z) / dz = 1 - (softcap(z) / cap)^2
      const inside = capped === undefined ? warm : mul(warm, sub(1, square(mul(capped, 1 / cap!))));
      return inside.to(hidden.dtype);
    },
  };
}
