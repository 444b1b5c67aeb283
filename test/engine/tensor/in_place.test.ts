/** @file Overwriting memory that nobody needs any more must not change a number. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  collect,
  compile,
  HostTensor,
  numel,
  optimize,
  placeholder,
  Program,
  tensor,
} from "../../../src/tensor/index.js";
import type { Graph, Operation, Tensor } from "../../../src/tensor/index.js";
import { rewrite } from "../../../src/tensor/graph.js";
import { buildNode } from "../../../src/tensor/operation.js";
import { cpu } from "../../../src/torch/device.js";
import { startEngine } from "./engine.js";

beforeAll(async () => void (await startEngine()));

/** The same program with operations that never overwrite an input. */
function withoutInPlace(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    if (node.inputs.length === 0) return undefined;
    const { inPlace: _, ...operation }: Operation = node.operation;
    return buildNode(operation, inputs, node.attributes, node.outputs, node.payload, node).outputs;
  });
}

/** Keys of the calls that overwrite an input. */
const overwriting = (program: Program): string[] =>
  program.plan.steps.flatMap((step) => (step.kind === "aten" && /_(\.|$)/.test(step.key) ? [step.key] : []));

const waves = (shape: readonly number[]): HostTensor =>
  new HostTensor(
    Array.from({ length: numel(shape) }, (_, i) => Math.sin(1 + i)),
    shape,
    "float32",
  );

/** Integers in [0, n) from a linear congruential generator. */
function dice(seed: number): (n: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** A random program over two inputs in which views and in-place candidates of the same memory mix. */
function drawProgram(seed: number, [a, b]: readonly [Tensor, Tensor]): Tensor[] {
  const roll = dice(seed);
  const pool: Tensor[] = [a, b];
  const pick = (): Tensor => pool[roll(pool.length)]!;
  const unary = [
    (x: Tensor) => x.tanh(),
    (x: Tensor) => x.sigmoid(),
    (x: Tensor) => x.neg(),
    (x: Tensor) => x.abs(),
    (x: Tensor) => x.relu(),
    (x: Tensor) => x.mul(0.5),
  ];
  const views = [
    (x: Tensor) => x.t(),
    (x: Tensor) => x.reshape([4, 4]),
    (x: Tensor) => x.slice(0, 0, 2).expand([2, 4]).repeat([2, 1]),
    (x: Tensor) => x.select(1, roll(4)).unsqueeze(1).expand([4, 4]),
    (x: Tensor) => x.flatten().reshape([2, 2, 4]).transpose(0, 1).reshape([4, 4]),
    (x: Tensor) => x.stopGradient(),
    (x: Tensor) => x.contiguous(),
  ];
  for (let i = 0; i < 12; i++) {
    const kind = roll(5);
    if (kind < 2) pool.push(unary[roll(unary.length)]!(pick()));
    else if (kind === 2) pool.push(views[roll(views.length)]!(pick()));
    else if (kind === 3) pool.push(pick().mul(pick()));
    else pool.push(pick().add(pick()).div(2));
  }
  return [pool.at(-1)!, pool[roll(pool.length)]!, pool[2 + roll(pool.length - 2)]!.slice(0, 1, 3)];
}

describe("in-place execution", () => {
  it("equals execution without it, for random programs whose views share memory", async () => {
    let overwritten = 0;
    for (let seed = 0; seed < 150; seed++) {
      const places = [
        placeholder({ shape: [4, 4], dtype: "float32" }, "a"),
        placeholder({ shape: [4, 4], dtype: "float32" }, "b"),
      ] as const;
      const graph = optimize(collect(places, drawProgram(seed, places)));
      const programs = [
        new Program(withoutInPlace(graph), cpu),
        new Program(graph, cpu),
        new Program(graph, cpu, new Set(places)),
      ] as const;
      overwritten += overwriting(programs[2]).length;
      const results: number[][][] = [];
      for (const program of programs) {
        const outputs = await program.run([waves([4, 4]), waves([4, 4])]);
        results.push(outputs.map((t) => t.toNumbers()));
        for (const t of outputs) t.dispose();
        program.dispose();
      }
      expect(results[1], `seed ${seed}`).toEqual(results[0]);
      expect(results[2], `seed ${seed}, donated`).toEqual(results[0]);
    }
    expect(overwritten).toBeGreaterThan(150);
  });

  const program = (fn: (x: Tensor) => Tensor | Tensor[], donate = false): Program => {
    const x = placeholder({ shape: [2, 3], dtype: "float32" }, "x");
    const result = fn(x);
    const graph = optimize(collect([x], Array.isArray(result) ? result : [result]));
    return new Program(graph, cpu, new Set(donate ? [x] : []));
  };

  it("happens for values that nobody reads afterwards", () => {
    expect(overwriting(program((x) => x.exp().tanh().neg()))).toEqual(["tanh_", "neg_"]);
    expect(overwriting(program((x) => x.exp().mul(x).sqrt()))).toEqual(["mul_.Tensor", "sqrt_"]);
  });

  it("spares what was lent and takes what was donated", () => {
    expect(overwriting(program((x) => x.exp()))).toEqual([]);
    expect(overwriting(program((x) => x.exp(), true))).toEqual(["exp_"]);
  });

  it.each<readonly [string, (x: Tensor) => Tensor | Tensor[]]>([
    ["a result that is returned", (x) => [x, x.tanh()]],
    ["a value that is read through a view later", (x) => [x.tanh().mul(2), x.t().mul(3)]],
    ["both operands being the same memory", (x) => x.mul(x.reshape([3, 2]).reshape([2, 3]))],
    ["an operand that is broadcast", (x) => x.select(0, 0).mul(x.select(0, 1).unsqueeze(0).expand([2, 3]))],
    ["a view of part of the memory", (x) => x.slice(0, 0, 1).tanh()],
    ["a result of another dtype", (x) => x.mul(x.cast("float64"))],
  ])("spares %s", (_, fn) => {
    const places = placeholder({ shape: [2, 3], dtype: "float32" }, "x");
    const result = fn(places);
    const graph = optimize(collect([places], Array.isArray(result) ? result : [result]));
    const steps = new Program(graph, cpu, new Set([places])).plan.steps;
    const first = steps.find((step) => step.kind === "aten" && /^(tanh|mul)/.test(step.key));
    expect(first?.kind === "aten" ? first.key : undefined).toMatch(/^(tanh|mul\.Tensor)$/);
  });

  it("keeps a state in its place when it is donated", async () => {
    const append = (cache: Tensor, at: Tensor, row: Tensor): Tensor => cache.indexCopy(0, at, row);
    const kept = compile(append);
    const donating = compile(append, { donate: [0] });
    const feeds = (position: number) =>
      [tensor([position], "int64"), tensor([[position + 1, position + 2]])] as const;
    expect(overwriting(kept.program(HostTensor.filled([3, 2], 0, "float32"), ...feeds(0)))).toEqual([]);
    expect(overwriting(donating.program(HostTensor.filled([3, 2], 0, "float32"), ...feeds(0)))).toEqual([
      "index_copy_",
    ]);
    let cache = HostTensor.filled([3, 2], 0, "float32").upload();
    for (const position of [2, 0]) {
      const next = await donating(cache, ...feeds(position));
      expect(cache.disposed).toBe(true);
      cache = next;
    }
    expect(cache.toNumbers()).toEqual([1, 2, 0, 0, 3, 4]);
    cache.dispose();
  });

  it("gives outputs memory of their own", async () => {
    const outputs = (x: Tensor, negated: Tensor) => ({
      whole: x,
      again: x,
      view: x.t(),
      part: x.slice(0, 0, 1),
      twice: [negated, x.neg(), negated.detach()],
    });
    const run = compile((x: Tensor) => outputs(x, x.neg()));
    const x = tensor([
      [1, 2],
      [3, 4],
    ]).upload();
    const { whole, again, view, part, twice } = await run(x);
    x.dispose();
    whole.copyFrom(twice[0]!);
    expect(again.toNumbers()).toEqual([1, 2, 3, 4]);
    expect(view.toNumbers()).toEqual([1, 3, 2, 4]);
    expect(part.toNumbers()).toEqual([1, 2]);
    again.copyFrom(view);
    expect(twice[0]!.toNumbers()).toEqual([-1, -2, -3, -4]);
    twice[0]!.copyFrom(view);
    expect(twice[1]!.toNumbers()).toEqual([-1, -2, -3, -4]);
    twice[1]!.copyFrom(view);
    expect(twice[2]!.toNumbers()).toEqual([-1, -2, -3, -4]);
    for (const t of [whole, again, view, part, ...twice]) t.dispose();
    run.dispose();
  });

  it("returns a donated input that goes through untouched", async () => {
    const run = compile((x: Tensor, y: Tensor) => ({ x, sum: x.add(y) }), { donate: [0] });
    const given = tensor([1, 2]).upload();
    const { x, sum } = await run(given, tensor([10, 20]));
    expect([x.toNumbers(), sum.toNumbers(), given.disposed]).toEqual([[1, 2], [11, 22], true]);
    x.dispose();
    sum.dispose();
    run.dispose();
  });
});
