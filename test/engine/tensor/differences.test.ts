/**
 * @file Gradients and second derivatives against central differences in float64, along one random direction for each
 * case: for L the inner product of the results with the cotangents, (L(x + h u) - L(x - h u)) / 2h must be dL u.
 */
import { describe, expect, it } from "vitest";
import { compile, gradients, HostTensor, type Tensor } from "../../../src/tensor/index.js";
import { isFloating } from "../../../src/torch/dtype.js";
import { startEngine } from "./engine.js";
import type { OpCase } from "./cases/case.js";
import { families } from "./cases/index.js";
import { innerProduct, listOf, wantedOf } from "./differentiated.js";
import { readFamily, type CaseFixture } from "./fixture.js";

const inputNames = "abcdefgh";
const step = 1e-5;

/** Numbers in [-1, 1] from a linear congruential generator (Numerical Recipes). */
function directions(seed: number): (count: number) => Float64Array {
  let state = seed >>> 0;
  return (count) =>
    Float64Array.from({ length: count }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 31 - 1;
    });
}

const dot = (a: readonly Tensor[], b: readonly Tensor[]): Tensor =>
  a.map((x, i) => x.mul(b[i]!).sum()).reduce((x, y) => x.add(y));

type Scalar = (inputs: Tensor[], cotangents: (Tensor | null)[], along: Tensor[]) => Tensor;

/** The inner product of the results with the cotangents. */
const value =
  (op: OpCase): Scalar =>
  (inputs, cotangents) =>
    innerProduct(listOf(op.call(...inputs)), cotangents)!;

/** Its slope along a direction, which makes a scalar of the gradient. */
const slope =
  (op: OpCase): Scalar =>
  (inputs, cotangents, along) =>
    dot(gradients(value(op)(inputs, cotangents, along), wantedOf(op, inputs)), along);

async function checkSlope(op: OpCase, fixture: CaseFixture, fn: Scalar, what: string): Promise<void> {
  const traced = compile((inputs: Tensor[], cotangents: (Tensor | null)[], along: Tensor[]) => {
    const result = fn(inputs, cotangents, along);
    return { result, pulled: gradients(result, wantedOf(op, inputs)) };
  });
  const cotangents = fixture.series("float64.y").map((y, i) => {
    const c = fixture.find(`c${i}`);
    return c === undefined ? null : new HostTensor(c.data, y.shape, y.dtype);
  });
  const stored = op.inputs.map((_, i) => fixture.get(inputNames[i]!));
  const moves = op.inputs.map(({ wanted }, i) => wanted && isFloating(stored[i]!.dtype));
  const draw = directions(op.id.length);
  const along = stored.map(({ data }) => draw(data.length));
  const other = stored.map(({ data }) => draw(data.length));
  const feed = (offset: number): HostTensor[] =>
    stored.map(({ data, shape }, i) => {
      const own = op.inputs[i]!.dtype;
      const moved = moves[i] ? data.map((x, k) => x + offset * along[i]![k]!) : data;
      return new HostTensor(moved, shape, own === "float" ? "float64" : own);
    });
  const second = stored.flatMap(({ shape }, i) =>
    moves[i] ? [new HostTensor(other[i]!, shape, "float64")] : [],
  );
  const at = async (offset: number): Promise<{ value: number; slope: number }> => {
    const { result, pulled } = await traced(feed(offset), cotangents, second);
    const moving = along.filter((_, i) => moves[i]);
    let sum = 0;
    pulled.forEach((g, i) => g.toNumbers().forEach((x, k) => (sum += x * moving[i]![k]!)));
    const found = { value: result.item(), slope: sum };
    for (const t of [result, ...pulled]) t.dispose();
    return found;
  };
  const [here, up, down] = [await at(0), await at(step), await at(-step)];
  traced.dispose();
  const numeric = (up.value - down.value) / (2 * step);
  const scale = Math.max(1, Math.abs(numeric), Math.abs(here.value));
  expect(Math.abs(here.slope - numeric) / scale, `${what}: ${here.slope} instead of ${numeric}`).toBeLessThan(
    1e-7,
  );
}

await startEngine();

for (const [family, cases] of Object.entries(families)) {
  const smooth = cases.filter(
    ({ inputs, dtypes, options }) =>
      dtypes.includes("float64") &&
      options.kink !== true &&
      inputs.some(({ dtype, wanted }) => wanted && dtype === "float"),
  );
  if (smooth.length === 0) continue;
  const fixtures = readFamily(family);

  describe(family, () => {
    it.each(smooth.map((op) => [op.id, op] as const))("%s", async (id, op) => {
      const fixture = fixtures.get(id)!;
      if (fixture.find("c0") === undefined) return;
      await checkSlope(op, fixture, value(op), "gradient");
      const again = checkSlope(op, fixture, slope(op), "second derivative");
      if (op.options.once === true) await expect(again).rejects.toThrow(/cannot be differentiated/);
      else await again;
    });
  });
}
