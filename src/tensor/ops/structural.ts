/** @file Operations that steer differentiation and leave the numbers alone. */
import { applyAll, apply, type Operation } from "../operation.js";
import type { Tensor } from "../tensor.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

const stopOperation = register({
  name: "stop_gradient",
  infer: ([x]) => [{ shape: x!.shape, dtype: x!.dtype }],
  vjp: "zero",
  lower: () => ({ kind: "alias", inputs: [0] }),
} satisfies Operation);

/** x, as a constant in the eyes of differentiation (`tensor.detach()` in PyTorch). */
export const stopGradient = (x: Tensor): Tensor => apply(stopOperation, [x]);
/** The same as {@link stopGradient}, under PyTorch's name. */
export const detach = stopGradient;

const transientOperation = register({
  name: "transient",
  infer: ([x]) => [{ shape: x!.shape, dtype: x!.dtype }],
  // d transient(x) = dx
  vjp: ({ gradients: [g] }) => [g],
  lower: () => ({ kind: "alias", inputs: [0] }),
  transient: true,
} satisfies Operation);

/**
 * x, from which nothing is kept: what depends on parameters alone is computed once for all runs, and equal values once
 * for all their uses, but not what is computed from this. For values that take more memory than time.
 */
export const transient = (x: Tensor): Tensor => apply(transientOperation, [x]);

type Backward = (gradients: readonly (Tensor | undefined)[]) => readonly (Tensor | undefined)[];

const customOperation = register({
  name: "custom_vjp",
  // Inputs are the arguments, then the results that the forward function made of them.
  infer: (inputs, { arguments: count }) =>
    inputs.slice(Number(count)).map(({ shape, dtype }) => ({ shape, dtype })),
  vjp: ({ node, gradients }) => (node.payload as Backward)(gradients),
  lower: ({ inputs, attributes }) => ({
    kind: "alias",
    inputs: inputs.slice(Number(attributes["arguments"])).map((_, i) => Number(attributes["arguments"]) + i),
  }),
} satisfies Operation);

/**
 * A function with a gradient rule of its own. `forward` maps the arguments to results and to whatever its backward
 * function wants to keep; `backward` maps gradients towards the results to gradients towards the arguments.
 */
export function customVjp<Kept>(
  args: readonly Tensor[],
  forward: (...args: readonly Tensor[]) => { results: readonly Tensor[]; keep: Kept },
  backward: (gradients: readonly (Tensor | undefined)[], keep: Kept) => readonly (Tensor | undefined)[],
): readonly Tensor[] {
  const { results, keep } = forward(...args);
  const rule: Backward = (gradients) => {
    const found = backward(gradients, keep);
    if (found.length === args.length) return found;
    throw new TypeError(`the backward function gave ${found.length} gradients for ${args.length} arguments`);
  };
  return applyAll(customOperation, [...args, ...results], { arguments: args.length }, rule);
}

/** Whether an input of a node can carry a gradient: the results that a custom node wraps cannot. */
export const carriesGradient = (
  operation: Operation,
  attributes: Readonly<Record<string, unknown>>,
  input: number,
): boolean => operation !== customOperation || input < Number(attributes["arguments"]);
