/** @file Gradients of micro-batches, added up and measured. */
import { compile, stack, sum, type Tensor } from "../tensor/index.js";

/** Micro-batches may leave gradients in half precision; they are added up and stepped with in float32. */
export const widened = (gradient: Tensor): Tensor =>
  gradient.dtype === "float64" ? gradient : gradient.to("float32");

/** Sum of the squares of all elements. */
export function squared(gradient: Tensor): Tensor {
  const flat = gradient.reshape([gradient.numel]);
  return flat.dot(flat);
}

/** Adds gradients to others, parameter by parameter. Takes both. */
export const accumulate = compile(
  (total: readonly Tensor[], more: readonly Tensor[]) =>
    total.map((gradient, i) => widened(gradient).add(widened(more[i]!))),
  { donate: [0, 1] },
);

/** The gradients as the optimiser wants them, with the square of their norm. Takes them. */
export const finished = compile(
  (gradients: readonly Tensor[]) => {
    const squares: Tensor[] = [];
    const wide = gradients.map((gradient) => {
      const result = widened(gradient);
      squares.push(squared(result));
      return result;
    });
    return { gradients: wide, squared: sum(stack(squares)) };
  },
  { donate: [0] },
);
