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

/**
 * Bias that hides the tokens of other branches: [batch, 1, length, length], 0 or minus infinity. Branch 0 is seen by all.
 *
 * @param branches integers [batch, length]: the number of the branch that each token belongs to
 */
export function branchBias(branches: Tensor): Tensor {
  const [batch, length] = branches.shape as readonly [number, number];
  const queries = reshape(branches, [batch, 1, length, 1]);
  const keys = reshape(branches, [batch, 1, 1, length]);
  return where(keys.eq(0).logicalOr(queries.eq(keys)), full([], 0), full([], -Infinity));
}
