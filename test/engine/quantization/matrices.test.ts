/** @file Matrices in 4 bits against parity/quantization.py: stored to the last bit, and back. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { openSafetensors, type SafetensorsFile } from "../../../src/models/safetensors/index.js";
import {
  dequantize,
  dequantized,
  fourBitLinear,
  heldBy,
  quantize,
  tensorsOf,
  type FourBits,
  type FourBitType,
} from "../../../src/quantization/index.js";
import { coders, dynamicMap, levels } from "../../../src/quantization/code_books.js";
import { compile, gradients, Parameter, tensor, type Tensor } from "../../../src/tensor/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";

const folder = join(import.meta.dirname, "../../fixtures/quantization");
interface Case {
  readonly kind: FourBitType;
  readonly double: boolean;
  readonly blockSize: number;
}
const { cases } = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as {
  readonly cases: Readonly<Record<string, Case>>;
};

let file: SafetensorsFile;
beforeAll(async () => {
  await loadTorch();
  file = openSafetensors(join(folder, "matrices.safetensors"));
  return () => file.close();
});

const free = (bits: FourBits): void => tensorsOf(bits).forEach((t) => t.dispose());

function quantizedCase(name: string): FourBits {
  const { kind: type, double, blockSize } = cases[name]!;
  using weight = file.read(name);
  return quantize(weight, { type, double, blockSize });
}

/** The bytes of a tensor of the fixture. */
function bytesOf(name: string): Buffer {
  using found = file.read(name);
  return Buffer.from(found.bytes());
}

describe.each(Object.entries(cases))("%s", (name, { kind, double }) => {
  it("is stored as bitsandbytes does, bit for bit", () => {
    const before = liveTensors();
    const bits = quantizedCase(name);
    expect(bits.packed.shape).toEqual(file.entry(`${name}.weight`).shape);
    expect(Buffer.from(bits.packed.bytes()).equals(bytesOf(`${name}.weight`))).toBe(true);
    expect(Buffer.from(bits.absmax.bytes()).equals(bytesOf(`${name}.weight.absmax`))).toBe(true);
    expect(bits.nestedAbsmax !== undefined).toBe(double);
    const state = JSON.parse(
      bytesOf(`${name}.weight.quant_state.bitsandbytes__${kind}`).toString(),
    ) as Readonly<Record<string, unknown>>;
    expect({ shape: [...bits.shape], dtype: bits.dtype }).toEqual({
      shape: state["shape"],
      dtype: state["dtype"],
    });
    if (bits.nestedAbsmax !== undefined) {
      expect(Buffer.from(bits.nestedAbsmax.bytes()).equals(bytesOf(`${name}.weight.nested_absmax`))).toBe(
        true,
      );
      expect(bits.nested?.offset).toBe(state["nested_offset"]);
    }
    free(bits);
    expect(liveTensors()).toBe(before);
  });

  it("has the same values again, on the host and in a program, in runs of any length", async () => {
    const bits = quantizedCase(name);
    using expected = file.read(`${name}.dequantized`, { dtype: "float32" });
    using host = dequantize(bits);
    expect(host.toNumbers()).toEqual(expected.toNumbers());
    const parameters = heldBy(bits, (t) => new Parameter(t, { trainable: false }));
    for (const run of [64, 200, undefined]) {
      const program = compile(() => dequantized(parameters, "float32", run));
      using values = await program();
      expect(values.shape).toEqual(expected.shape);
      expect(values.toNumbers(), `runs of ${run}`).toEqual(expected.toNumbers());
      program.dispose();
    }
    free(bits);
  });
});

describe("code books", () => {
  it("hold what PyTorch computes for them", () => {
    const floats = (name: string): Float32Array => new Float32Array(new Uint8Array(bytesOf(name)).buffer);
    expect(dynamicMap).toEqual(floats("double.weight.nested_quant_map"));
    expect(levels.nf4).toEqual(floats("double.weight.quant_map"));
    expect(levels.fp4).toEqual(floats("half.weight.quant_map"));
  });

  it("give each level its own code", () => {
    for (const type of ["nf4", "fp4"] as const)
      levels[type].forEach((level, code) =>
        // FP4 has two zeros.
        expect(coders[type].of(level)).toBe(type === "fp4" && code === 8 ? 0 : code),
      );
  });
});

describe("a product with a matrix in 4 bits", () => {
  it("has the gradient of the matrix that it stands for, and keeps nothing", async () => {
    const bits = quantizedCase("double");
    using whole = dequantize(bits);
    const parameters = heldBy(bits, (t) => new Parameter(t, { trainable: false }));
    const weight = new Parameter(whole);
    const x = tensor(
      Array.from({ length: 3 }, (_, i) => Array.from({ length: 256 }, (_v, j) => Math.sin(i + j))),
    );
    const both = (product: (input: Tensor) => Tensor) => (input: Tensor) => {
      const y = product(input);
      return { y, gradient: gradients(y.mul(y).sum(), [input])[0]! };
    };
    const program = compile(both((input) => fourBitLinear(input, parameters)));
    const expected = compile(both((input) => input.matmul(weight.t())));
    const first = await program(x);
    const second = await expected(x);
    const before = liveTensors();
    const again = await program(x);
    expect(liveTensors()).toBe(before + 2);
    for (const key of ["y", "gradient"] as const) {
      const size = Math.max(...second[key].toNumbers().map(Math.abs));
      const differences = first[key].toNumbers().map((v, i) => Math.abs(v - second[key].toNumbers()[i]!));
      expect(Math.max(...differences)).toBeLessThan(1e-5 * size);
    }
    for (const result of [first, second, again]) for (const t of Object.values(result)) t.dispose();
    program.dispose();
    expected.dispose();
    free(bits);
  });
});

describe("what is refused", () => {
  it.each([
    [
      "an element that is not finite",
      () => DeviceTensor.fromHost([1, NaN, 2, 3], [2, 2], "float32"),
      /not finite/,
    ],
    ["a dtype that is too wide", () => DeviceTensor.full([2, 2], 1, "float64"), /float64: cannot be stored/],
    ["what is no matrix", () => DeviceTensor.full([4], 1), /no matrix/],
  ])("%s", (_what, make, message) => {
    using weight = make();
    const before = liveTensors();
    expect(() => quantize(weight, { type: "nf4", double: false })).toThrow(message);
    expect(liveTensors()).toBe(before);
  });
});
