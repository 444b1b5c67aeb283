import { full, reshape, where, type Tensor } from "../tensor/index.js";

/**
 * Bias that hides the tokens of other documents: [batch, 1, length, length], 0 or minus infinity. Added to the causal
 * bias it makes attention block-diagonal.
 *
 * @param documents integers [batch, length]: the number of the document that each token belongs to
 */
export function documentBias(documents: Tensor): Tensor {
  const [batch, length] = documents.shape as readonly [number, number];
  const queries = reshape(documents, [batch, 1, length, 1]);
  const keys = reshape(documents, [batch, 1, 1, length]);
  return where(queries.eq(keys), full([], 0), full([], -Infinity));
}
