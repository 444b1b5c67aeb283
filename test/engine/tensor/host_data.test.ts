/** @file Numbers on their way into native memory and back, by dtype. */
import { beforeAll, describe, expect, it } from "vitest";
import { compile, HostTensor, tensor, type Tensor } from "../../../src/tensor/index.js";
import { DeviceTensor } from "../../../src/torch/device_tensor.js";
import type { DType } from "../../../src/torch/dtype.js";
import type { HostData } from "../../../src/torch/host_data.js";
import { startEngine } from "./engine.js";

beforeAll(startEngine);

const big = 2 ** 53 - 1;

describe("numbers that are fed come back", () => {
  it.each<readonly [DType, HostData, readonly number[]]>([
    ["float32", [1.5, -0.1, NaN, Infinity], [1.5, Math.fround(-0.1), NaN, Infinity]],
    ["float64", [0.1, -1e300, 5e-324], [0.1, -1e300, 5e-324]],
    // The nearest numbers with 10 and 7 bits of fraction.
    ["float16", [0.1, 65504, 1e6], [0.0999755859375, 65504, Infinity]],
    ["bfloat16", [0.1, 1e6, -3e38], [0.10009765625, 999424, -3.00405527047391e38]],
    [
      "int64",
      [0, -1, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, -(2 ** 32), big, -big],
      [0, -1, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, -(2 ** 32), big, -big],
    ],
    ["int64", new BigInt64Array([5n, -6n]), [5, -6]],
    ["int32", [2147483647, -2147483648], [2147483647, -2147483648]],
    ["int32", new BigInt64Array([7n, -8n]), [7, -8]],
    ["int8", [127, -128], [127, -128]],
    ["uint8", new Uint8Array([0, 255]), [0, 255]],
    ["bool", [0, 1, 2, -3], [0, 1, 1, 1]],
    ["float32", new Float64Array([0.1]), [Math.fround(0.1)]],
    ["float64", new Float32Array([0.1]), [Math.fround(0.1)]],
  ])("%s from %o", (dtype, data, expected) => {
    using stored = DeviceTensor.fromHost(data, [data.length], dtype);
    expect(stored.toNumbers()).toEqual(expected);
  });

  it("in the typed array of their dtype", () => {
    const array = (dtype: DType): string => {
      using stored = DeviceTensor.full([2], 1, dtype);
      expect(stored.toNumbers()).toEqual([1, 1]);
      return stored.toTypedArray().constructor.name;
    };
    expect(array("float32")).toBe("Float32Array");
    expect(array("bfloat16")).toBe("Float32Array");
    expect(array("float64")).toBe("Float64Array");
    expect(array("int64")).toBe("BigInt64Array");
    expect(array("int32")).toBe("Int32Array");
    expect(array("int8")).toBe("Int8Array");
    expect(array("bool")).toBe("Uint8Array");
  });

  it("exactly as int64 beyond what a number holds", async () => {
    const run = compile((x: Tensor) => x.bitwiseXor(1));
    const data = new BigInt64Array([2n ** 62n + 1n, -(2n ** 62n)]);
    using found = await run(new HostTensor(data, [2], "int64"));
    expect(found.toTypedArray()).toEqual(new BigInt64Array([2n ** 62n, -(2n ** 62n) + 1n]));
    run.dispose();
  });

  it("as copies", () => {
    const data = new Float32Array([1, 2]);
    using stored = DeviceTensor.fromHost(data, [2], "float32");
    data[0] = 9;
    const read = stored.toTypedArray();
    stored.bytes().fill(0);
    expect([...read]).toEqual([1, 2]);
    expect(stored.toNumbers()).toEqual([0, 0]);
  });

  it("in shapes without elements and without dimensions", async () => {
    const run = compile((x: Tensor) => x.add(1));
    for (const [value, shape] of [
      [[], [0]],
      [
        [[], []],
        [2, 0],
      ],
      [3, []],
    ] as const) {
      using found = await run(tensor(value));
      expect(found.shape).toEqual(shape);
      expect(found.toNumbers()).toEqual(shape.length === 0 ? [4] : []);
    }
    run.dispose();
  });
});
