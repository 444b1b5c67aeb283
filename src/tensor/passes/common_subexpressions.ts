import { constantValue } from "../leaf.js";
import { rewrite, type Graph } from "../graph.js";
import { buildNode } from "../operation.js";
import type { Node, Tensor } from "../tensor.js";

/**
 * Merges nodes that compute the same thing from the same inputs. Forward and backward code are not merged with each
 * other: where a gradient rule computes something again it does so to keep less in memory.
 */
export function mergeCommonSubexpressions(graph: Graph): Graph {
  const known = new Map<string, Node>();
  return rewrite(graph, (node, inputs) => {
    const key = keyOf(node, inputs);
    if (key === undefined) return undefined;
    const same = known.get(key);
    if (same !== undefined) return same.outputs;
    const changed = inputs.some((t, i) => t !== node.inputs[i]);
    if (!changed) {
      known.set(key, node);
      return undefined;
    }
    const copy = copyInPlace(node, inputs);
    known.set(key, copy);
    return copy.outputs;
  });
}

const copyInPlace = (node: Node, inputs: readonly Tensor[]): Node =>
  buildNode(node.operation, inputs, node.attributes, node.outputs, node.payload, node);

function keyOf(node: Node, inputs: readonly Tensor[]): string | undefined {
  const { operation, attributes, outputs } = node;
  if (node.inputs.length === 0) {
    const host = outputs[0] === undefined ? undefined : constantValue(outputs[0]);
    if (host === undefined) return undefined;
    // Long tables are compared by identity: they are built once each.
    if (host.fill === undefined && host.data.length > 16) return undefined;
    const data = host.fill === undefined ? host.data : [host.fill];
    const content = Array.from<number | bigint, string>(data, (v) => (Object.is(v, -0) ? "-0" : String(v)));
    return `constant ${outputs[0]!.dtype}[${host.shape.join()}] ${host.fill === undefined ? "" : "fill "}${content.join()}`;
  }
  // A custom node is told apart by its backward function.
  if (node.payload !== undefined || operation.transient === true) return undefined;
  return `${node.backward ? "backward " : ""}${operation.name} ${JSON.stringify(attributes)} ${inputs.map((t) => `${t.node.id}.${t.index}`).join()}`;
}
