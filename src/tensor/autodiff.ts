/** @file Reverse-mode differentiation of traced programs. */
import { isFloating } from "../torch/dtype.js";
import { ones, zeros } from "./leaf.js";
import { asBackwardOf, type Operation } from "./operation.js";
import { add, cast } from "./ops/elementwise.js";
import { sumTo } from "./ops/reduce.js";
import { carriesGradient } from "./ops/structural.js";
import { sameShape, typeName, type Node, type Tensor } from "./tensor.js";

/** Nodes that lie between `targets` and `outputs`, in order of creation, and which tensors depend on a target. */
function dependents(
  outputs: readonly Tensor[],
  targets: ReadonlySet<Tensor>,
): { nodes: Node[]; depends: Set<Tensor> } {
  const seen = new Set<Node>();
  const stack = outputs.map((t) => t.node);
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) stack.push(input.node);
  }
  const depends = new Set<Tensor>(targets);
  const nodes = [...seen]
    .sort((a, b) => a.id - b.id)
    .filter((node) => {
      if (node.operation.vjp === "zero") return false;
      const moved = node.inputs.some(
        (t, i) => depends.has(t) && carriesGradient(node.operation, node.attributes, i),
      );
      if (moved) for (const t of node.outputs) if (isFloating(t.dtype)) depends.add(t);
      return moved;
    });
  return { nodes, depends };
}

/**
 * Gradients of the scalar `output` (or of the inner product of `output` with `cotangent`) with respect to each of
 * `targets`. A target that the output does not depend on gets zeros. Nothing is computed towards anything else.
 */
export function gradients(output: Tensor, targets: readonly Tensor[], cotangent?: Tensor): Tensor[] {
  if (cotangent === undefined && output.numel !== 1) {
    throw new TypeError(
      `A gradient needs a scalar, got ${typeName(output)}. Reduce it with sum() or mean(), or give a cotangent.`,
    );
  }
  for (const t of [output, ...targets]) {
    if (!isFloating(t.dtype)) throw new TypeError(`${typeName(t)} has no gradient: it is not a float.`);
  }
  if (cotangent !== undefined && !sameShape(cotangent.shape, output.shape)) {
    throw new TypeError(
      `The cotangent ${typeName(cotangent)} does not have the shape of ${typeName(output)}.`,
    );
  }
  const { nodes, depends } = dependents([output], new Set(targets));
  const found = new Map<Tensor, Tensor>();
  const accumulate = (t: Tensor, g: Tensor): void => {
    const fitted = cast(sumTo(g, t.shape), t.dtype);
    const sofar = found.get(t);
    found.set(t, sofar === undefined ? fitted : add(sofar, fitted));
  };
  if (depends.has(output)) accumulate(output, cotangent ?? ones(output.shape, output.dtype));
  for (const node of nodes.reverse()) {
    const incoming = node.outputs.map((t) => found.get(t));
    if (incoming.every((g) => g === undefined)) continue;
    asBackwardOf(node.scope, () => {
      const needs = node.inputs.map(
        (t, i) => depends.has(t) && carriesGradient(node.operation, node.attributes, i),
      );
      const outgoing = applyRule(node.operation, node, incoming, needs);
      node.inputs.forEach((t, i) => {
        const g = outgoing[i];
        if (needs[i] && g !== undefined) accumulate(t, g);
      });
    });
    // A target's own gradient stays; all others have been passed on.
    for (const t of node.outputs) if (!targets.includes(t)) found.delete(t);
  }
  return targets.map((t) => found.get(t) ?? zeros(t.shape, t.dtype));
}

function applyRule(
  operation: Operation,
  node: Node,
  incoming: readonly (Tensor | undefined)[],
  needs: readonly boolean[],
): readonly (Tensor | undefined)[] {
  const rule = operation.vjp;
  if (rule === "zero") return [];
  if (rule === "none") {
    throw new TypeError(
      `${operation.name} cannot be differentiated: it is itself part of a gradient, and ATen offers no rule for its derivative.`,
    );
  }
  return rule({
    inputs: node.inputs,
    outputs: node.outputs,
    attributes: node.attributes,
    gradients: incoming,
    needs,
    node,
  });
}
