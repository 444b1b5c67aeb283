/** @file A case as a traced function: its results and the gradients of their inner product with cotangents. */
import { gradients, type Tensor } from "../../../src/tensor/index.js";
import { isFloating } from "../../../src/torch/dtype.js";
import type { OpCase } from "./cases/case.js";

export const listOf = (result: Tensor | readonly Tensor[]): readonly Tensor[] =>
  Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];

/** The inputs that gradients are wanted for. */
export const wantedOf = (op: OpCase, inputs: readonly Tensor[]): Tensor[] =>
  inputs.filter((x, i) => op.inputs[i]!.wanted && isFloating(x.dtype));

/** Sum of the results times their cotangents; undefined where no result is a float. */
export function innerProduct(
  results: readonly Tensor[],
  cotangents: readonly (Tensor | null)[],
): Tensor | undefined {
  return results
    .flatMap((y, i) => {
      const c = cotangents[i];
      return c === null || c === undefined ? [] : [y.mul(c).sum()];
    })
    .reduce<Tensor | undefined>((a, b) => (a === undefined ? b : a.add(b)), undefined);
}

/** Gradients towards the wanted inputs, in their order. */
export function pullBack(
  op: OpCase,
  inputs: readonly Tensor[],
  results: readonly Tensor[],
  cotangents: readonly (Tensor | null)[],
): Tensor[] {
  const total = innerProduct(results, cotangents);
  return total === undefined ? [] : gradients(total, wantedOf(op, inputs));
}
