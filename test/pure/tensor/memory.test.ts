/** @file What a program holds, counted by hand. */
import { describe, expect, test } from "vitest";
import {
  gradients,
  Parameter,
  placeholder,
  programMemory,
  scope,
  type Tensor,
} from "../../../src/tensor/index.js";

const input = (...shape: number[]): Tensor => placeholder({ shape, dtype: "float32" }, "x");

describe("programMemory", () => {
  test("counts values from the call that makes them to the last that reads them", () => {
    const x = input(100, 50);
    // 20,000 bytes twice at a time: x itself is lent, and each product is gone when the next is there.
    const w = [1, 2, 3].map(() => new Parameter({ shape: [50, 50], dtype: "float32" }));
    const chain = w.reduce((y, weight) => y.mm(weight), x);
    expect(programMemory([x], [chain])).toEqual({ peak: 40_000, results: 20_000, kept: 0 });
    // The sum of all three needs the first two until the third is there.
    const [a, b, c] = w.map((weight) => x.mm(weight));
    expect(programMemory([x], [a!, b!, c!])).toEqual({ peak: 60_000, results: 60_000, kept: 0 });
  });

  test("counts memory once where a result takes over an operand's, or looks at it", () => {
    const x = input(100, 50);
    const y = x.mm(new Parameter({ shape: [50, 50], dtype: "float32" }));
    expect(programMemory([x], [y.exp()]).peak).toBe(20_000);
    expect(programMemory([x], [y.reshape([50, 100]).sum()]).peak).toBe(20_004);
    // exp is read by its own gradient, so that nothing may overwrite it.
    expect(programMemory([x], [y.exp(), y.exp().sqrt()]).peak).toBe(40_000);
  });

  test("counts what depends on parameters alone apart, and once", () => {
    const x = placeholder({ shape: [10, 50], dtype: "bfloat16" }, "x");
    const w = new Parameter({ shape: [50, 50], dtype: "float32" });
    const y = x.mm(w.to("bfloat16")).mm(w.to("bfloat16"));
    expect(programMemory([x], [y])).toEqual({ peak: 2000, results: 1000, kept: 5000 });
  });

  test("knows what rematerialisation saves", () => {
    const x = input(100, 50);
    const w = Array.from({ length: 8 }, () => new Parameter({ shape: [50, 50], dtype: "float32" }));
    const y = w.reduce(
      (h, weight, i) => scope(`layers.${i}`, () => h.mm(weight).exp().mm(weight).exp().mm(weight).exp()),
      x,
    );
    const outputs = [y.sum(), ...gradients(y.sum(), w)];
    const peaks = (["none", "layers"] as const).map(
      (rematerialize) => programMemory([x], outputs, { rematerialize }).peak,
    );
    // Three values of each of the eight blocks against the last of each, and three of one block.
    expect(peaks[0]).toBeGreaterThan(24 * 20_000);
    expect(peaks[0]).toBeLessThan(28 * 20_000 + 80_000);
    expect(peaks[1]).toBeLessThan(16 * 20_000 + 80_000);
  });
});

test("a parameter of a shape alone says so when its value is asked for", () => {
  const parameter = new Parameter({ shape: [2, 3], dtype: "bfloat16" });
  expect(() => parameter.value).toThrow("bfloat16[2, 3] has a shape only");
  expect(() => parameter.dispose()).not.toThrow();
});
