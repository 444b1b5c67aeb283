/** @file Rematerialisation: the same numbers, forward code computed again, and less memory held at the peak. */
import { describe, expect, it } from "vitest";
import * as T from "../../../src/tensor/index.js";
import type { Tensor } from "../../../src/tensor/index.js";
import { dtypeBytes } from "../../../src/torch/dtype.js";
import { startEngine } from "./engine.js";
import { expectClose } from "./closeness.js";

const [layers, rows, width] = [6, 16, 8];

/** A stack of blocks with a wide middle, an output that is used twice, and dropout. */
function stack(x: Tensor, weights: readonly Tensor[]): Tensor {
  let h = x;
  weights.forEach((w, i) => {
    h = T.scope(`layers.${i}`, () => {
      const wide = T.cat([h.mm(w).tanh(), h.sigmoid(), h.mul(h)], 1);
      const [a, b, c] = wide.split(width, 1) as [Tensor, Tensor, Tensor];
      return h.add(T.dropout(a.mul(b).add(c.softmax(-1)), 0.25));
    });
  });
  return h;
}

const objective = (weights: Tensor[], x: Tensor, key: Tensor): Tensor =>
  T.withRandomKey(key, () => stack(x, weights).square().mean());

const step = T.valueAndGrad(objective);

const wave = (count: number, frequency: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.sin(1 + frequency * i));
const weights = Array.from(
  { length: layers },
  (_, i) => new T.HostTensor(wave(width * width, 0.7 + i), [width, width], "float32"),
);
const x = new T.HostTensor(wave(rows * width, 0.3), [rows, width], "float32");
const key = T.tensor([3, 4], "int32");

/** The most bytes that are needed at one time if each value is freed after its last use. Views cost as much as copies. */
function peakBytes(graph: T.Graph): number {
  const lastUse = new Map<Tensor, number>();
  graph.nodes.forEach((node, i) => node.inputs.forEach((t) => lastUse.set(t, i)));
  for (const t of graph.outputs) lastUse.set(t, Infinity);
  const bytes = (t: Tensor): number => t.numel * dtypeBytes(t.dtype);
  let [live, peak] = [0, 0];
  graph.nodes.forEach((node, i) => {
    if (node.inputs.length === 0) return;
    for (const t of node.outputs) if (lastUse.has(t)) live += bytes(t);
    peak = Math.max(peak, live);
    for (const t of new Set(node.inputs))
      if (lastUse.get(t) === i && t.node.inputs.length > 0) live -= bytes(t);
  });
  return peak;
}

const graphOf = (rematerialize: "none" | "layers"): T.Graph => {
  const places = [...weights, x, key].map((host) => T.placeholder(host, "x"));
  const { value, gradient } = step(places.slice(0, layers), places[layers]!, places[layers + 1]!);
  return T.optimize(T.collect(places, [value, ...gradient]), { rematerialize });
};

describe("rematerialisation", () => {
  it("gives the same value and gradients bit for bit, with dropout", async () => {
    await startEngine();
    const [plain, again] = (["none", "layers"] as const).map((rematerialize) =>
      T.compile(step, { rematerialize }),
    );
    const [a, b] = [await plain!(weights, x, key), await again!(weights, x, key)];
    const numbers = ({ value, gradient }: typeof a): number[][] =>
      [value, ...gradient].map((t) => t.toNumbers());
    expect(numbers(b)).toEqual(numbers(a));
    expect(a.value.item()).toBeGreaterThan(0.1);
    expect(Math.max(...a.gradient[0]!.toNumbers().map(Math.abs))).toBeGreaterThan(1e-3);
  });

  it("computes what lies inside a block a second time, and nothing else", () => {
    const [plain, again] = [graphOf("none"), graphOf("layers")].map((graph) => T.countOperations(graph));
    // tanh, sigmoid and softmax keep their results for the backward pass; the products of matrices are needed for
    // tanh alone.
    for (const name of ["tanh", "sigmoid", "softmax"]) expect(again![name], name).toBe(2 * plain![name]!);
    expect(plain!["mm"]).toBe(3 * layers - 1);
    expect(again!["mm"]).toBe(4 * layers - 1);
    expect(again!["tanh_backward"]).toBe(plain!["tanh_backward"]);
    expect(again!["mean"]).toBe(plain!["mean"]);
  });

  it("holds less at the peak", () => {
    const [plain, again] = [peakBytes(graphOf("none")), peakBytes(graphOf("layers"))];
    expect(again).toBeLessThan(0.55 * plain);
  });

  it("recomputes a block in the backward pass, when its turn comes", () => {
    const { nodes } = graphOf("layers");
    const firstBackward = nodes.findIndex((node) => node.backward);
    const places = nodes.flatMap((node, i) =>
      node.operation.name === "tanh" && i > firstBackward ? [node.scope] : [],
    );
    expect(places).toEqual(["layers.5", "layers.4", "layers.3", "layers.2", "layers.1", "layers.0"]);
  });

  it("leaves code outside the blocks alone", () => {
    const w = T.placeholder({ shape: [3], dtype: "float32" }, "w");
    const graph = T.collect([w], T.gradients(w.exp().exp().sum(), [w]));
    const text = T.printGraph(T.optimize(graph));
    expect(T.printGraph(T.optimize(graph, { rematerialize: "layers" }))).toBe(text);
  });

  it("allows code after the gradients, such as clipping", async () => {
    await startEngine();
    const clipped = (w: Tensor[], input: Tensor, k: Tensor): Tensor[] => {
      const { gradient } = step(w, input, k);
      const norm = gradient
        .map((g) => g.square().sum())
        .reduce((a, b) => a.add(b))
        .sqrt();
      return gradient.map((g) => g.mul(T.div(0.5, norm).clamp(undefined, 1)));
    };
    const [plain, again] = (["none", "layers"] as const).map((rematerialize) =>
      T.compile(clipped, { rematerialize }),
    );
    const [a, b] = [await plain!(weights, x, key), await again!(weights, x, key)];
    a.forEach((expected, i) => {
      const stored = { dtype: expected.dtype, shape: expected.shape, data: expected.toNumbers() };
      expectClose(b[i]!, stored, { relative: 0, absolute: 0 }, `gradient ${i}`);
    });
    const squares = a.flatMap((g) => g.toNumbers()).reduce((sum, n) => sum + n * n, 0);
    expect(Math.sqrt(squares)).toBeCloseTo(0.5, 5);
  });
});
