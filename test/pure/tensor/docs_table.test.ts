/** @file docs/tensors.md lists every public function, says rightly how often it can be differentiated, and no more. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { gradients, placeholder, Tensor } from "../../../src/tensor/index.js";
import { isConstant } from "../../../src/tensor/leaf.js";
import * as publicFunctions from "../../../src/tensor/ops/index.js";
import { isFloating } from "../../../src/torch/dtype.js";
import type { OpCase } from "../../engine/tensor/cases/case.js";
import { allCases } from "../../engine/tensor/cases/index.js";
import { innerProduct, listOf, wantedOf } from "../../engine/tensor/differentiated.js";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");
const guide = read("docs/tensors.md");

interface Row {
  readonly name: string;
  readonly asMethod: boolean;
  readonly derivatives: string;
}

/** The functions of the tables under "All functions". */
const rows: readonly Row[] = guide
  .slice(guide.indexOf("## All functions\n"))
  .split("\n")
  .flatMap((line) => {
    const [, calls, , derivatives] = line.split("|").map((cell) => cell.trim());
    if (calls === undefined || !calls.startsWith("`")) return [];
    return [...calls.matchAll(/`(?:(\w+)\.)?(\w+)\(/g)].map(([, owner, name]) => ({
      name: name!,
      asMethod: owner !== undefined,
      derivatives: derivatives ?? "",
    }));
  });

/** Whether any gradient of the case is more than zeros. */
function hasGradient(op: OpCase): boolean {
  const inputs = op.inputs.map(({ dtype, shape }, i) =>
    placeholder({ shape, dtype: dtype === "float" ? op.dtypes[0]! : dtype }, `input ${i}`),
  );
  const results = listOf(op.call(...inputs));
  const cotangents = results.map((y, i) => (isFloating(y.dtype) ? placeholder(y, `cotangent ${i}`) : null));
  const total = innerProduct(results, cotangents);
  return total !== undefined && gradients(total, wantedOf(op, inputs)).some((g) => !isConstant(g, 0));
}

describe("the guide to tensors", () => {
  const functions = Object.entries(publicFunctions).flatMap(([name, value]) =>
    typeof value === "function" ? [name] : [],
  );

  it("lists every public function once", () => {
    expect(rows.map(({ name }) => name).sort()).toEqual([...functions].sort());
  });

  it("shows as methods what are methods", () => {
    const methods = new Set(Object.getOwnPropertyNames(Tensor.prototype));
    expect(rows.filter(({ name, asMethod }) => asMethod && !methods.has(name))).toEqual([]);
  });

  it.each(rows)("says rightly that $name has $derivatives derivatives", ({ name, derivatives }) => {
    const cases = allCases.filter(({ fn }) => fn === name);
    const differentiable = cases.some(hasGradient);
    const once = cases[0]!.options.once === true;
    expect(derivatives).toBe(!differentiable ? "none" : once ? "first" : "all");
  });

  it("contains the example as it stands in its file", () => {
    expect(guide).toContain(`\`\`\`ts\n${read("examples/fit_curve.ts")}\`\`\`\n`);
  });
});
