/** @file A program: its nodes in order of execution, and the machinery that all passes share. */
import { buildNode, type Operation } from "./operation.js";
import { sameShape, typeName, type Node, type Tensor } from "./tensor.js";
import { inputOperation } from "./leaf.js";

export interface Graph {
  /** What is fed at each run, in order. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Every node that the outputs need, each after those it needs. */
  readonly nodes: readonly Node[];
}

/**
 * Collects what the outputs reach, in the order in which it was created: that keeps forward code before backward
 * code and each chunk of a chunked loss together. Dead code never gets in.
 */
export function collect(inputs: readonly Tensor[], outputs: readonly Tensor[]): Graph {
  const nodes = sortedBy(reach(outputs), (node) => node.id);
  const known = new Set(inputs.map((t) => t.node));
  for (const node of nodes) {
    if (node.operation === inputOperation && !known.has(node)) {
      throw new TypeError(
        `The program uses a placeholder of another trace (${typeName(node.outputs[0]!)}). ` +
          "Pass the tensor to the function as an argument instead of closing over it.",
      );
    }
  }
  return { inputs, outputs, nodes };
}

/** Every node that the outputs need, in no order. */
function reach(outputs: readonly Tensor[]): Node[] {
  const seen = new Set<Node>();
  const found: Node[] = [];
  const visit = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    found.push(node);
  };
  for (const t of outputs) visit(t.node);
  for (let i = 0; i < found.length; i++) for (const input of found[i]!.inputs) visit(input.node);
  return found;
}

/** Sorted by a key that is a number and differs between nodes; typed arrays sort several times as fast. */
function sortedBy(nodes: readonly Node[], key: (node: Node) => number): Node[] {
  const byKey = new Map<number, Node>();
  const keys = new Float64Array(nodes.length);
  nodes.forEach((node, i) => {
    keys[i] = key(node);
    byKey.set(keys[i], node);
  });
  return Array.from(keys.sort(), (k) => byKey.get(k)!);
}

/** Tensors of the old program to tensors of the new one. */
export type Renaming = Map<Tensor, Tensor>;

/** Copies a node with other inputs; the copy keeps scope and direction. */
export function copyNode(node: Node, inputs: readonly Tensor[], rename: Renaming): Node {
  const copy = buildNode(node.operation, inputs, node.attributes, node.outputs, node.payload, node);
  node.outputs.forEach((output, i) => rename.set(output, copy.outputs[i]!));
  return copy;
}

/**
 * Rebuilds a program node by node. `replace` returns the tensors that stand for the node's outputs, or undefined to
 * keep the node (with its inputs renamed). Nodes that nothing needs any more fall away.
 */
export function rewrite(
  graph: Graph,
  replace: (node: Node, inputs: readonly Tensor[]) => readonly Tensor[] | undefined,
): Graph {
  const rename: Renaming = new Map();
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((t) => rename.get(t) ?? t);
    const replaced = replace(node, inputs);
    if (replaced !== undefined) node.outputs.forEach((t, i) => rename.set(t, replaced[i]!));
    else if (inputs.some((t, i) => t !== node.inputs[i])) copyNode(node, inputs, rename);
  }
  return collectInOrder(graph, rename);
}

function collectInOrder(graph: Graph, rename: Renaming): Graph {
  const outputs = graph.outputs.map((t) => rename.get(t) ?? t);
  const position = new Map<Node, number>();
  graph.nodes.forEach((node, i) => {
    position.set(node, i);
    for (const t of node.outputs) {
      const renamed = rename.get(t);
      if (renamed !== undefined && !position.has(renamed.node)) position.set(renamed.node, i);
    }
  });
  // Nodes that stand in the place of one that was there come before later ones, whatever their ids.
  const last = graph.nodes.length;
  const ids = 2 ** 32;
  const nodes = sortedBy(reach(outputs), (node) => (position.get(node) ?? last) * ids + node.id);
  return { inputs: graph.inputs, outputs, nodes };
}

/**
 * Checks a program after a pass: every node comes after its inputs, and its types are what its shape rule says.
 * @throws Error naming the pass and the node.
 */
export function verifyGraph(graph: Graph, pass: string): void {
  const defined = new Set<Tensor>();
  const fail = (node: Node, reason: string): never => {
    throw new Error(`After ${pass}, ${node.operation.name} (${node.scope || "top"}): ${reason}.`);
  };
  for (const node of graph.nodes) {
    for (const input of node.inputs)
      if (!defined.has(input)) fail(node, `input ${typeName(input)} is used before it is made`);
    if (node.inputs.length > 0) {
      const types = node.operation.infer(node.inputs, node.attributes);
      node.outputs.forEach((t, i) => {
        const type = types[i];
        if (type === undefined || type.dtype !== t.dtype || !sameShape(type.shape, t.shape)) {
          fail(
            node,
            `output ${i} is ${typeName(t)}, the shape rule says ${type === undefined ? "nothing" : typeName(type)}`,
          );
        }
      });
    }
    for (const t of node.outputs) defined.add(t);
  }
  for (const t of graph.outputs)
    if (!defined.has(t)) throw new Error(`After ${pass}, an output is never made.`);
}

/** How often each operation occurs, for tests and profiles. */
export function countOperations(graph: Graph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { operation } of graph.nodes) counts[operation.name] = (counts[operation.name] ?? 0) + 1;
  return counts;
}

/** Whether any node of the program applies the operation. */
export const uses = (graph: Graph, operation: Operation): boolean =>
  graph.nodes.some((n) => n.operation === operation);
