/** @file Compiled functions: what is traced when, how long programs and values are kept, and who waits for whom. */
import { memoryUsage } from "node:process";
import { beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  constant,
  evaluate,
  grad,
  gradients,
  HostTensor,
  Parameter,
  tensor,
  valueAndGrad,
  zeros,
  type Tensor,
} from "../../../src/tensor/index.js";
import { liveTensors, type DeviceTensor } from "../../../src/torch/device_tensor.js";
import { startEngine } from "./engine.js";

beforeAll(async () => void (await startEngine()));

const numbers = async (result: Promise<DeviceTensor>): Promise<number[]> => {
  using found = await result;
  return found.toNumbers();
};

describe("signatures", () => {
  it("are traced once each", async () => {
    const traced: string[] = [];
    const run = compile((x: Tensor, options: { scale: number; name?: string }, flag: boolean) => {
      traced.push(`${x.dtype} ${x.shape.join()} ${options.scale} ${options.name} ${flag}`);
      return x.mul(options.scale);
    });
    const vector = tensor([1, 2]);
    using uploaded = vector.upload();
    expect(await numbers(run(vector, { scale: 2 }, true))).toEqual([2, 4]);
    expect(await numbers(run(tensor([5, 6]), { scale: 2 }, true))).toEqual([10, 12]);
    expect(await numbers(run(uploaded, { scale: 2 }, true))).toEqual([2, 4]);
    expect(traced).toEqual(["float32 2 2 undefined true"]);
    await numbers(run(tensor([1, 2, 3]), { scale: 2 }, true));
    await numbers(run(tensor([1, 2], "float64"), { scale: 2 }, true));
    expect(await numbers(run(vector, { scale: 3 }, true))).toEqual([3, 6]);
    await numbers(run(vector, { scale: 3, name: "undefined" }, true));
    await numbers(run(vector, { scale: 3 }, false));
    expect(await numbers(run(vector, { scale: -0 }, true))).toEqual([-0, -0]);
    expect(await numbers(run(vector, { scale: 0 }, true))).toEqual([0, 0]);
    expect(traced.length).toBe(8);
    expect(run.cached).toBe(8);
    run.dispose();
    expect(run.cached).toBe(0);
  });

  it("tell trees of equal leaves apart", async () => {
    let traced = 0;
    const run = compile((tree: Record<string, Tensor | Tensor[]>) => {
      traced++;
      return Object.values(tree)
        .flat()
        .reduce((a, b) => a.sub(b));
    });
    const [a, b] = [tensor([5]), tensor([2])];
    expect(await numbers(run({ a, b }))).toEqual([3]);
    expect(await numbers(run({ b, a }))).toEqual([-3]);
    expect(await numbers(run({ a: [a, b] }))).toEqual([3]);
    expect(await numbers(run({ a: [a], b }))).toEqual([3]);
    expect(traced).toBe(4);
    run.dispose();
  });

  it("count objects of a class by identity", async () => {
    class Scale {
      readonly by: number;
      constructor(by: number) {
        this.by = by;
      }
    }
    let traced = 0;
    const run = compile((scale: Scale, x: Tensor) => (traced++, x.mul(scale.by)));
    const [two, alsoTwo] = [new Scale(2), new Scale(2)];
    for (const scale of [two, two, alsoTwo]) expect(await numbers(run(scale, tensor([3])))).toEqual([6]);
    expect(traced).toBe(2);
    run.dispose();
  });

  it("keep the programs used last, and free the others", async () => {
    const traced: number[] = [];
    // A constant that is too long to be merged holds memory for each program.
    const run = compile(
      (x: Tensor) => (traced.push(x.shape[0]!), x.add(constant([...Array(x.shape[0]).keys()]))),
      {
        cacheSize: 2,
      },
    );
    const call = (n: number): Promise<number[]> => numbers(run(HostTensor.filled([n], 0, "float32")));
    await call(20);
    const one = liveTensors();
    await call(21);
    const two = liveTensors();
    await call(20);
    await call(22);
    expect([run.cached, liveTensors()]).toEqual([2, two]);
    await call(20);
    expect(traced).toEqual([20, 21, 22]);
    await call(21);
    expect(traced).toEqual([20, 21, 22, 21]);
    run.dispose();
    expect(liveTensors()).toBe(2 * one - two);
  });
});

describe("parameters", () => {
  it("are read at each run, and what is computed from them alone once for each version", async () => {
    const weight = new Parameter(tensor([1, 2]).upload());
    const run = compile((x: Tensor) => x.mul(weight.mul(10).add(1)));
    const ones = tensor([1, 1]);
    expect(run.program(ones).plan.steps.map((step) => step.label)).toEqual(["mul"]);
    expect(await numbers(run(ones))).toEqual([11, 21]);
    weight.set(tensor([3, 4]).upload());
    expect(await numbers(run(ones))).toEqual([31, 41]);
    using other = tensor([5, 6]).upload();
    weight.value.copyFrom(other);
    expect(await numbers(run(ones)), "a change that was not told").toEqual([31, 41]);
    weight.touch();
    expect(await numbers(run(ones))).toEqual([51, 61]);
    run.dispose();
    weight.dispose();
  });

  it("share what is computed from them between programs", async () => {
    const weight = new Parameter(tensor([1, 2]).upload());
    const cast = (): Tensor => weight.to("float64");
    const runs = [
      compile((x: Tensor) => x.add(cast())),
      compile((x: Tensor) => x.mul(2).mul(cast())),
    ] as const;
    const x = tensor([1, 1], "float64");
    const before = liveTensors();
    await numbers(runs[0](x));
    const one = liveTensors();
    await numbers(runs[1](x));
    // The second program adds its constant 2 and no second copy of the weight.
    expect([one - before, liveTensors() - one]).toEqual([1, 1]);
    runs[0].dispose();
    expect(await numbers(runs[1](x))).toEqual([2, 4]);
    runs[1].dispose();
    expect(liveTensors()).toBe(before);
    weight.dispose();
  });

  it("keep their dtype and shape", () => {
    const weight = new Parameter(tensor([1, 2]).upload());
    using short = tensor([1]).upload();
    using wide = tensor([1, 2], "float64").upload();
    expect(() => weight.set(short)).toThrow(/float32\[2\] cannot hold float32\[1\]/);
    expect(() => weight.set(wide)).toThrow(/cannot hold float64\[2\]/);
    weight.dispose();
  });
});

describe("derivatives", () => {
  it("come in the tree of the first argument", async () => {
    const loss = ({ w, rest }: { w: Tensor; rest: Tensor[] }, x: Tensor): Tensor =>
      x.mul(w).add(rest[0]!).square().sum();
    const run = compile(valueAndGrad(loss));
    const { value, gradient } = await run(
      { w: tensor([1, 2]), rest: [tensor([3, 4]), tensor([5])] },
      tensor([1, 1]),
    );
    // (1 + 3)^2 + (2 + 4)^2, with slopes 2 (x w + b) towards w and b, and none towards what is not used.
    expect(value.item()).toBe(52);
    expect([gradient.w, ...gradient.rest].map((t) => t.toNumbers())).toEqual([[8, 12], [8, 12], [0]]);
    for (const t of [value, gradient.w, ...gradient.rest]) t.dispose();
    run.dispose();
  });

  it("can be taken again", async () => {
    const cube = (x: Tensor): Tensor => x.pow(3).sum();
    const second = compile(grad((x: Tensor) => grad(cube)(x).sum()));
    const third = compile(grad((x: Tensor) => grad((y: Tensor) => grad(cube)(y).sum())(x).sum()));
    expect(await numbers(second(tensor([1, -2], "float64")))).toEqual([6, -12]);
    expect(await numbers(third(tensor([1, -2], "float64")))).toEqual([6, 6]);
    second.dispose();
    third.dispose();
  });

  it("with a cotangent are vector-Jacobian products", async () => {
    const run = compile((x: Tensor, c: Tensor) => gradients(x.square(), [x], c));
    const [g] = await run(tensor([1, 2, 3]), tensor([1, 10, 100]));
    expect(g!.toNumbers()).toEqual([2, 40, 600]);
    g!.dispose();
    run.dispose();
  });
});

describe("memory", () => {
  it("holds as many tensors after 50 runs as after the first, and no more bytes", async () => {
    const side = 128;
    const w = new Parameter(HostTensor.filled([side, side], 0.01, "float32").upload());
    const step = compile((x: Tensor) => {
      const loss = x.linear(w).tanh().linear(w.to("bfloat16").to("float32")).square().mean();
      return { loss, gradient: gradients(loss, [w])[0]! };
    });
    const x = HostTensor.filled([side, side], 0.5, "float32");
    const train = async (): Promise<void> => {
      const { loss, gradient } = await step(x);
      loss.dispose();
      w.set(gradient);
    };
    for (let i = 0; i < 5; i++) await train();
    const [live, resident] = [liveTensors(), memoryUsage().rss];
    for (let i = 0; i < 50; i++) await train();
    expect(liveTensors()).toBe(live);
    // Each run makes about ten matrices of 64 KB that liveTensors does not count; 650 runs would leave 400 MB.
    for (let i = 0; i < 600; i++) await train();
    expect((memoryUsage().rss - resident) / 2 ** 20).toBeLessThan(200);
    step.dispose();
    w.dispose();
  });

  it("of intermediate results is freed at their last use", async () => {
    const [depth, count] = [100, 1 << 21];
    const deep = compile((x: Tensor) => {
      let y = x;
      for (let i = 0; i < depth; i++) y = y.add(i);
      return y.sum();
    });
    const x = HostTensor.filled([count], 0, "float32").upload();
    const resident = memoryUsage().rss;
    using total = await deep(x);
    expect(total.item()).toBe(((depth * (depth - 1)) / 2) * count);
    // Two results of 8 MB at a time and what else a process takes; all of them together would be 800 MB.
    expect((memoryUsage().rss - resident) / 2 ** 20).toBeLessThan(300);
    x.dispose();
    deep.dispose();
  });

  it("of constants alone is computed by evaluate and left to the caller", async () => {
    const before = liveTensors();
    const found = await evaluate(
      zeros([2])
        .add(constant([1, 2]))
        .exp(),
    );
    expect(found.toNumbers().map((n) => Math.log(n))).toEqual([expect.closeTo(1), expect.closeTo(2)]);
    expect(liveTensors()).toBe(before + 1);
    found.dispose();
  });
});

describe("calls at the same time", () => {
  /** Takes many times what the runner may work without a pause, on a matrix whose elements are all alike. */
  const rounds = 40;
  const size = [1024, 1024];
  const long = compile((x: Tensor) => {
    let y = x;
    for (let i = 0; i < rounds; i++) y = y.sin().mul(x);
    return y;
  });
  const expected = (x: number): number => {
    let y = x;
    for (let i = 0; i < rounds; i++) y = Math.sin(y) * x;
    return y;
  };
  const ones = HostTensor.filled(size, 1, "float32");
  const first = (t: DeviceTensor): number => t.toNumbers()[0]!;

  it("let timers run in between", async () => {
    const times: number[] = [];
    const timer = setInterval(() => times.push(performance.now()), 1);
    const start = performance.now();
    using result = await long(ones);
    clearInterval(timer);
    const took = performance.now() - start;
    expect(first(result)).toBeCloseTo(expected(1), 5);
    // A pause is due every 50 ms; on a machine that others use too, some come late.
    if (took > 500) expect(times.length).toBeGreaterThan(0);
  });

  it("take turns and give each its own result", async () => {
    const values = [1, 1.25, 1.5];
    const results = await Promise.all(values.map((value) => long(HostTensor.filled(size, value, "float32"))));
    values.forEach((value, i) => expect(first(results[i]!)).toBeCloseTo(expected(value), 4));
    for (const t of results) t.dispose();
  });

  it("work on with inputs, parameters and programs that are disposed of meanwhile", async () => {
    const weight = new Parameter(ones.upload());
    const run = compile((x: Tensor) => {
      let y = x;
      for (let i = 0; i < rounds; i++) y = y.sin().mul(weight).mul(constant(1));
      return y.mul(x);
    });
    const x = ones.upload();
    let disturbed = 0;
    const timer = setInterval(() => {
      if (disturbed++ > 0) return;
      x.dispose();
      run.dispose();
      weight.set(HostTensor.filled(size, 7, "float32").upload());
    }, 1);
    using result = await run(x);
    clearInterval(timer);
    expect(disturbed).toBeGreaterThan(0);
    expect(first(result)).toBeCloseTo(expected(1), 5);
    expect(x.disposed).toBe(true);
    weight.dispose();
  });

  it("may not share one program", async () => {
    const program = long.program(ones);
    const [one, two] = await Promise.allSettled([program.run([ones]), program.run([ones])]);
    expect(two).toMatchObject({
      status: "rejected",
      reason: { message: expect.stringMatching(/is running already/) as string },
    });
    if (one.status === "fulfilled") for (const t of one.value) t.dispose();
    expect(one.status).toBe("fulfilled");
    program.dispose();
    await expect(program.run([ones])).rejects.toThrow(/program: was disposed of/);
  });
});
