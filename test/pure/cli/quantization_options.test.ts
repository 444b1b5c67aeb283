/** @file Options that put a model into 4 bits, in run files and on command lines. */
import { describe, expect, it } from "vitest";
import { quantizationFlags, quantizationOfRun } from "../../../src/cli/quantization_options.js";

describe("a run file", () => {
  it("has TRL's names and defaults, and transformers' where they differ", () => {
    const expected = {
      loadIn4bit: true,
      bnb4bitQuantType: "nf4",
      bnb4bitUseDoubleQuant: undefined,
      bnb4bitComputeDtype: undefined,
      llmInt8SkipModules: undefined,
    };
    expect(quantizationOfRun({})).toBeUndefined();
    expect(quantizationOfRun({ loadIn4bit: false })).toBeUndefined();
    expect(quantizationOfRun({ loadIn4bit: true })).toEqual(expected);
    const double = { ...expected, bnb4bitUseDoubleQuant: true };
    expect(quantizationOfRun({ loadIn4bit: true, useBnbNestedQuant: true })).toEqual(double);
    expect(quantizationOfRun({ loadIn4bit: true, bnb4bitUseDoubleQuant: true })).toEqual(double);
  });

  it.each([
    [
      { bnb4bitQuantType: "fp4" },
      "bnb_4bit_quant_type = fp4: has no effect without load_in_4bit. Give load_in_4bit as well, or leave it out.",
    ],
    [
      { loadIn4bit: false, useBnbNestedQuant: false },
      "use_bnb_nested_quant = false: has no effect without load_in_4bit. Give load_in_4bit as well, or leave it out.",
    ],
    [
      { loadIn4bit: true, useBnbNestedQuant: true, bnb4bitUseDoubleQuant: false },
      "use_bnb_nested_quant = true: contradicts bnb_4bit_use_double_quant, which is false. They mean the same: keep one.",
    ],
  ] as const)("is refused with %j", (fields, message) => {
    expect(() => quantizationOfRun(fields)).toThrow(expect.objectContaining({ name: "CraftError", message }));
  });
});

describe("flags", () => {
  it("are named as in run files", () => {
    expect(quantizationFlags({})).toBeUndefined();
    const given = { bnb4bitQuantType: "fp4", bnb4bitComputeDtype: "float16", llmInt8SkipModules: ["q_proj"] };
    const expected = { ...given, loadIn4bit: true, bnb4bitUseDoubleQuant: undefined };
    expect(quantizationFlags({ ...given, loadIn4bit: true })).toEqual(expected);
    expect(quantizationFlags(given, true)).toEqual(expected);
    expect(() => quantizationFlags(given)).toThrow(
      "--bnb-4bit-quant-type = fp4: has no effect without --load-in-4bit",
    );
    expect(() => quantizationFlags({ loadIn4bit: true, bnb4bitQuantType: "int4" })).toThrow(
      "--bnb-4bit-quant-type = int4",
    );
  });
});
