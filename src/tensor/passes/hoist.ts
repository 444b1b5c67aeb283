import { createHash } from "node:crypto";
import type { Graph } from "../graph.js";
import { collect, rewrite } from "../graph.js";
import { constantValue, derivedOperation } from "../leaf.js";
import { buildNode } from "../operation.js";
import { asParameter, type Parameter } from "../parameter.js";
import type { Node, Tensor } from "../tensor.js";

/** A value that depends on parameters and constants only, and so changes only when a parameter does. */
export interface Derived {
  /** Stands for the value in the program that runs each time. */
  readonly placeholder: Tensor;
  /** Computes the value. */
  readonly program: Graph;
  /** Says how the value is computed; equal keys mean equal values. */
  readonly key: string;
  readonly parameters: readonly Parameter[];
}

/**
 * Splits a program: what depends on parameters and constants alone (casts of weights, packed weights, rotary
 * tables) is computed once for each version of the parameters and shared by all plans; the rest runs each time.
 */
export function hoist(graph: Graph): { readonly program: Graph; readonly derived: readonly Derived[] } {
  const facts = new Map<Node, Fact>();
  for (const node of graph.nodes) {
    const fact = factOf(node, facts);
    if (fact !== undefined) facts.set(node, fact);
  }
  const derived = new Map<Tensor, Derived>();
  const take = (t: Tensor): void => {
    const fact = facts.get(t.node);
    if (fact?.computed !== true || derived.has(t)) return;
    // Views cost nothing and stay beside their use, so that one value serves all its views.
    if (fact.view) return t.node.inputs.forEach(take);
    const leaf = buildNode(derivedOperation, [], {}, [t], undefined, { scope: "", backward: false });
    derived.set(t, {
      placeholder: leaf.outputs[0]!,
      program: collect([], [t]),
      key: `${fact.key}#${t.index}`,
      parameters: [...fact.parameters],
    });
  };
  for (const node of graph.nodes) if (!facts.has(node)) node.inputs.forEach(take);
  graph.outputs.forEach(take);
  if (derived.size === 0) return { program: graph, derived: [] };
  const program = rewrite(graph, (node, inputs) => {
    if (!node.outputs.some((t) => derived.has(t))) return undefined;
    const kept = node.outputs.every((t) => derived.has(t));
    const copy = kept
      ? undefined
      : buildNode(node.operation, inputs, node.attributes, node.outputs, node.payload, node);
    return node.outputs.map((t, i) => derived.get(t)?.placeholder ?? copy!.outputs[i]!);
  });
  return { program, derived: [...derived.values()] };
}

interface Fact {
  readonly key: string;
  readonly parameters: ReadonlySet<Parameter>;
  /** Whether something has to be computed on the way from the leaves. */
  readonly computed: boolean;
  readonly view: boolean;
}

const digest = (text: string | NodeJS.ArrayBufferView): string =>
  createHash("sha1").update(text).digest("base64");

function leafFact(output: Tensor): Fact | undefined {
  const parameter = asParameter(output);
  const common = { computed: false, view: false };
  if (parameter !== undefined)
    return { key: `p${parameter.id}`, parameters: new Set([parameter]), ...common };
  const host = constantValue(output);
  if (host === undefined) return undefined;
  const data = host.fill === undefined ? host.data : [host.fill];
  const bits = digest(data instanceof BigInt64Array ? data : Float64Array.from(data));
  const content = host.fill === undefined ? bits : `fill ${bits}`;
  return { key: `${output.dtype}[${host.shape.join()}]${content}`, parameters: new Set(), ...common };
}

function factOf(node: Node, facts: ReadonlyMap<Node, Fact>): Fact | undefined {
  if (node.inputs.length === 0) return leafFact(node.outputs[0]!);
  if (node.operation.transient === true) return undefined;
  const parts: Fact[] = [];
  for (const input of node.inputs) {
    const part = facts.get(input.node);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  const { kind } = node.operation.lower(node);
  const view = kind === "view" || kind === "alias";
  const inputs = node.inputs.map((t, i) => `${parts[i]!.key}#${t.index}`);
  const key = `${node.operation.name}${JSON.stringify(node.attributes)}(${inputs.join()})`;
  return {
    key: key.length > 256 ? digest(key) : key,
    parameters: new Set(parts.flatMap((p) => [...p.parameters])),
    computed: !view || parts.some((p) => p.computed),
    view,
  };
}
