import { copyNode, type Graph, type Renaming } from "../graph.js";
import type { Node, Tensor } from "../tensor.js";

/**
 * Gradient checkpointing (Chen et al. 2016) as a pass. For every scope that `selects` names, the backward pass keeps
 * only what enters or leaves the scope's forward code and computes the rest again, just before its first use.
 *
 * Values are the same as without the pass: random numbers are functions of their place, not of the moment.
 */
export function rematerialize(graph: Graph, selects: (scope: string) => string | undefined): Graph {
  const groupOf = new Map<Node, string>();
  for (const node of graph.nodes) {
    const group = node.backward || node.inputs.length === 0 ? undefined : selects(node.scope);
    if (group !== undefined) groupOf.set(node, group);
  }
  const kept = keptTensors(graph, groupOf);
  const renames = new Map<string, Renaming>();
  const nodes: Node[] = [];
  const outer: Renaming = new Map();

  /** The tensor that backward code should read in place of a forward one. */
  const recompute = (t: Tensor): Tensor => {
    const group = groupOf.get(t.node);
    if (group === undefined || kept.has(t)) return t;
    let rename = renames.get(group);
    if (rename === undefined) renames.set(group, (rename = new Map<Tensor, Tensor>()));
    const done = rename.get(t);
    if (done !== undefined) return done;
    const inputs = t.node.inputs.map(recompute);
    nodes.push(copyNode(t.node, inputs, rename));
    return rename.get(t)!;
  };

  for (const node of graph.nodes) {
    const inputs = node.inputs.map((t) => outer.get(t) ?? (node.backward ? recompute(t) : t));
    nodes.push(inputs.every((t, i) => t === node.inputs[i]) ? node : copyNode(node, inputs, outer));
  }
  const outputs = graph.outputs.map((t) => outer.get(t) ?? t);
  return { inputs: graph.inputs, outputs, nodes: prune(nodes, outputs) };
}

/** Tensors of a group that other forward code, or the caller, reads: they live on anyway. */
function keptTensors(graph: Graph, groupOf: ReadonlyMap<Node, string>): Set<Tensor> {
  const kept = new Set<Tensor>(graph.outputs);
  for (const node of graph.nodes) {
    if (node.backward) continue;
    for (const input of node.inputs) {
      const group = groupOf.get(input.node);
      if (group !== undefined && groupOf.get(node) !== group) kept.add(input);
    }
  }
  return kept;
}

function prune(nodes: readonly Node[], outputs: readonly Tensor[]): Node[] {
  const needed = new Set<Node>();
  for (const t of outputs) needed.add(t.node);
  const result: Node[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!needed.has(node)) continue;
    for (const input of node.inputs) needed.add(input.node);
    result.push(node);
  }
  return result.reverse();
}

/** Selects the whole blocks of a transformer: scopes whose path starts with `layers.N`. */
export const layerScopes = (scope: string): string | undefined => /^(?:.*\.)?layers\.\d+/.exec(scope)?.[0];
