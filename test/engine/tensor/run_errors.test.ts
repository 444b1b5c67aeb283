/** @file What compiled functions refuse at run time, and what is left behind when a run fails. */
import { memoryUsage } from "node:process";
import { describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import {
  compile,
  constant,
  gradients,
  HostTensor,
  Parameter,
  placeholder,
  tensor,
  type Tensor,
} from "../../../src/tensor/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { torch } from "../../../src/torch/torch.js";
import { startEngine } from "./engine.js";

await startEngine();

const double = compile((x: Tensor) => x.mul(2));

/** Picks rows by number; fails inside the kernel when a row is not there, while `y` and `z` wait for their use. */
function pick(x: Tensor, rows: Tensor): Tensor {
  const [y, z] = [x.exp(), x.sin()];
  return y.indexSelect(0, rows).mul(z.amax(0)).add(y.amin(0));
}

describe("a compiled function refuses", () => {
  it("a tensor that was disposed of", async () => {
    const x = tensor([1, 2]).upload();
    x.dispose();
    await expect(double(x)).rejects.toThrow(/tensor = float32\[2\]: was disposed of or given away/);
  });

  it("a parameter whose value was disposed of", async () => {
    const weight = new Parameter(tensor([1, 2]).upload());
    weight.dispose();
    const run = compile((x: Tensor) => x.mul(weight));
    await expect(run(tensor([1, 2]))).rejects.toThrow(CraftError);
    run.dispose();
  });

  it("a symbolic tensor", async () => {
    const run = compile((inputs: { a: Tensor[] }) => inputs.a[0]!.mul(2));
    const symbolic = placeholder({ shape: [2], dtype: "float32" }, "x");
    const wrong = { a: [symbolic] } as unknown as { a: HostTensor[] };
    await expect(run(wrong)).rejects.toThrow(
      /args\[0\]\.a\[0\]: is a symbolic tensor.*no numbers to run with/,
    );
  });

  it("a typed array without a shape", async () => {
    const wrong = new Float32Array(2) as unknown as HostTensor;
    await expect(double(wrong)).rejects.toThrow(
      /args\[0\]: is a typed array without a shape.*new HostTensor/,
    );
  });

  it("a tensor of another trace that the function closes over", async () => {
    let leaked: Tensor | undefined;
    const first = compile((x: Tensor) => (leaked = x).mul(2));
    (await first(tensor([1, 2]))).dispose();
    const second = compile((x: Tensor) => x.add(leaked!));
    await expect(second(tensor([1, 2]))).rejects.toThrow(/placeholder of another trace/);
    first.dispose();
  });

  it("a gradient of more than one number", async () => {
    const run = compile((x: Tensor) => gradients(x.mul(2), [x]));
    await expect(run(tensor([1, 2]))).rejects.toThrow(/needs a scalar, got float32\[2\]/);
  });

  it("a cache for no programs", () => {
    expect(() => compile((x: Tensor) => x, { cacheSize: 0 })).toThrow(
      /cacheSize = 0: must be a positive integer/,
    );
  });

  it.skipIf(torch().library.hasCuda)("a device that the library has no code for", async () => {
    const run = compile((x: Tensor) => x.mul(2), { device: { type: "cuda", index: 0 } });
    await expect(run(tensor([1]))).rejects.toThrow(
      /device = cuda: the libtorch in use was built for the CPU only/,
    );
  });
});

describe("a failing run", () => {
  it("names the operation, its operands and the reason", async () => {
    const run = compile(pick);
    await expect(run(tensor([[1], [2]]), tensor([0, 7], "int64"))).rejects.toThrow(
      /index_select\(float32\[2, 1\] with strides \[1, 1\], int64\[2\] with strides \[1\]\) failed: .*out of range/,
    );
    run.dispose();
  });

  it("leaves the program usable", async () => {
    const run = compile(pick);
    await expect(run(tensor([[0], [1]]), tensor([2], "int64"))).rejects.toThrow();
    using found = await run(tensor([[0], [1]]), tensor([1], "int64"));
    expect(found.item()).toBeCloseTo(Math.E * Math.sin(1) + 1, 5);
    run.dispose();
  });

  it("frees what it had computed and what it was given", async () => {
    const megabytes = 8;
    const run = compile(pick, { donate: [0] });
    const x = HostTensor.filled([megabytes, 1 << 18], 0, "float32");
    const bad = new HostTensor([megabytes], [1], "int64");
    const fail = async (): Promise<void> => {
      const given = x.upload();
      await expect(run(given, bad)).rejects.toThrow(/out of range/);
      expect(given.disposed).toBe(true);
    };
    for (let i = 0; i < 5; i++) await fail();
    const [live, resident] = [liveTensors(), memoryUsage().rss];
    for (let i = 0; i < 30; i++) await fail();
    expect(liveTensors()).toBe(live);
    // Each of what is given, of y and of z would add 240 MB if it stayed.
    expect((memoryUsage().rss - resident) / 2 ** 20).toBeLessThan(150);
    run.dispose();
  });

  it("does not keep later calls from their turn", async () => {
    const run = compile(pick);
    const calls = [7, 0, 7, 1].map((row) => run(tensor([[0], [1]]), tensor([row], "int64")));
    const settled = await Promise.allSettled(calls);
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected", "fulfilled"]);
    for (const outcome of settled) if (outcome.status === "fulfilled") outcome.value.dispose();
    run.dispose();
  });

  it("while tracing leaves nothing in the cache", async () => {
    const run = compile((x: Tensor) => x.mm(constant([[1], [2], [3]])));
    await expect(run(tensor([[1, 2]]))).rejects.toThrow(/mm\(float32\[1, 2\], float32\[3, 1\]\)/);
    expect(run.cached).toBe(0);
  });
});

describe("donation refuses", () => {
  const shift = compile((state: Tensor, x: Tensor) => ({ state: state.add(x).exp() }), { donate: [0] });

  it("a tensor that the same call reads elsewhere, and leaves it alone", async () => {
    const x = tensor([1, 2]).upload();
    await expect(shift(x, x)).rejects.toThrow(
      /donated argument = float32\[2\]: is read by the same call in another place/,
    );
    expect(x.toNumbers()).toEqual([1, 2]);
    x.dispose();
  });

  it("the value of a parameter that the program reads", async () => {
    const weight = new Parameter(tensor([1, 2]).upload());
    const run = compile((x: Tensor) => x.mul(weight), { donate: [0] });
    await expect(run(weight.value)).rejects.toThrow(/in another place/);
    expect(weight.value.toNumbers()).toEqual([1, 2]);
    weight.dispose();
    run.dispose();
  });

  it("a tensor that is gone, without consuming the others", async () => {
    const run = compile((state: { a: Tensor; b: Tensor }) => state.a.add(state.b), { donate: [0] });
    const [a, b] = [tensor([1]).upload(), tensor([2]).upload()];
    b.dispose();
    await expect(run({ a, b })).rejects.toThrow(/donated argument = float32\[1\]: was disposed of/);
    expect(a.toNumbers()).toEqual([1]);
    a.dispose();
    run.dispose();
  });

  it("giving away what a running program reads", async () => {
    const x = tensor([1]).upload();
    x.lend();
    expect(() => x.release()).toThrow(/cannot be given away while a running program reads it/);
    x.dispose();
    expect(x.disposed).toBe(true);
    const live = liveTensors();
    x.giveBack();
    expect(liveTensors()).toBe(live - 1);
    expect(() => x.handle).toThrow(CraftError);
  });
});

describe("device tensors", () => {
  it("refuse data that does not fill the shape", () => {
    expect(() => DeviceTensor.fromHost([1, 2], [3], "float32")).toThrow(/2 elements: shape \[3\] has 3/);
  });

  it("give one element only where there is one", () => {
    using x = tensor([1, 2]).upload();
    expect(() => x.item()).toThrow(/does not have exactly one element/);
  });
});
