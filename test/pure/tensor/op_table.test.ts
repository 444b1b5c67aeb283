/** @file Nothing may be missing from the table of cases that test/engine/tensor checks against PyTorch. */
import { describe, expect, it } from "vitest";
import { allOperations, collect, gradients, placeholder, type Tensor } from "../../../src/tensor/index.js";
import * as publicFunctions from "../../../src/tensor/ops/index.js";
import { allCases } from "../../engine/tensor/cases/index.js";
import type { OpCase } from "../../engine/tensor/cases/case.js";
import { innerProduct, listOf, wantedOf } from "../../engine/tensor/differentiated.js";
import { isFloating } from "../../../src/torch/dtype.js";

/** Names of the operations in a case's program and its gradients. */
function operationsOf(op: OpCase): Set<string> {
  const inputs = op.inputs.map(({ dtype, shape }, i) =>
    placeholder({ shape, dtype: dtype === "float" ? op.dtypes[0]! : dtype }, `input ${i}`),
  );
  const outputs: Tensor[] = [...listOf(op.call(...inputs))];
  const cotangents = outputs.map((y, i) => (isFloating(y.dtype) ? placeholder(y, `cotangent ${i}`) : null));
  const total = innerProduct(outputs, cotangents);
  if (total !== undefined) outputs.push(...gradients(total, wantedOf(op, inputs)));
  const given = cotangents.filter((c) => c !== null);
  return new Set(collect([...inputs, ...given], outputs).nodes.map((node) => node.operation.name));
}

describe("table of operations", () => {
  it("runs every registered operation", () => {
    const covered = new Set(allCases.flatMap((op) => [...operationsOf(op)]));
    expect(Object.keys(allOperations).filter((name) => !covered.has(name))).toEqual([]);
  });

  it("names every public function", () => {
    const named = new Set(allCases.map((op) => op.fn));
    const functions = Object.entries(publicFunctions).flatMap(([name, value]) =>
      typeof value === "function" ? [name] : [],
    );
    expect(functions.filter((name) => !named.has(name))).toEqual([]);
    expect([...named].filter((name) => !functions.includes(name))).toEqual([]);
  });

  it("writes the function's own name in each call", () => {
    const strangers = allCases.filter((op) => !op.call.toString().includes(op.fn) && !indirect.has(op.fn));
    expect(strangers.map((op) => op.id)).toEqual([]);
  });
});

/** Functions whose cases call them from a function beside the table. */
const indirect = new Set(["customVjp"]);
