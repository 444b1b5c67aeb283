import { asParameter } from "./parameter.js";
import type { Graph } from "./graph.js";
import { constantValue } from "./leaf.js";
import { typeName, type Tensor } from "./tensor.js";

/**
 * A program as text, one node a line: `%4: float32[2, 3] = mul(%2, %3)`. Names are numbered in order of execution,
 * so that equal programs print alike.
 */
export function printGraph(graph: Graph): string {
  const names = new Map<Tensor, string>();
  const name = (t: Tensor): string => names.get(t) ?? "?";
  let count = 0;
  const define = (t: Tensor): string => {
    names.set(t, `%${count++}`);
    return `${name(t)}: ${typeName(t)}`;
  };
  const lines = [`inputs ${graph.inputs.map(define).join(", ") || "none"}`];
  for (const node of graph.nodes) {
    if (node.outputs.every((t) => names.has(t))) continue;
    const outputs = node.outputs.map(define).join(", ");
    const attributes = Object.entries(node.attributes)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    const leaf = describeLeaf(node.outputs[0]);
    const args = [...node.inputs.map(name), ...attributes, ...(leaf === undefined ? [] : [leaf])].join(", ");
    lines.push(`${outputs} = ${node.operation.name}(${args})${node.backward ? " # backward" : ""}`);
  }
  lines.push(`return ${graph.outputs.map(name).join(", ")}`);
  return lines.join("\n");
}

function describeLeaf(t: Tensor | undefined): string | undefined {
  if (t === undefined) return undefined;
  if (asParameter(t) !== undefined) return undefined;
  const host = constantValue(t);
  if (host === undefined) return undefined;
  if (host.fill !== undefined) return String(host.fill);
  return host.data.length > 8
    ? `${host.data.length} values`
    : `[${Array.from(host.data, String).join(", ")}]`;
}
