/** @file Every case of the table against PyTorch: results and gradients, in each dtype and memory layout. */
import { describe, expect, it } from "vitest";
import { compile, HostTensor, type Tensor } from "../../../src/tensor/index.js";
import { liveTensors, type DeviceTensor } from "../../../src/torch/device_tensor.js";
import { isFloating, type DType } from "../../../src/torch/dtype.js";
import { startEngine } from "./engine.js";
import { arrangements, type ArrangementName } from "./arrangement.js";
import type { OpCase } from "./cases/case.js";
import { families } from "./cases/index.js";
import { expectClose, toleranceOf } from "./closeness.js";
import { listOf, pullBack } from "./differentiated.js";
import { readFamily, type CaseFixture } from "./fixture.js";

const inputNames = "abcdefgh";

const inputDType = (op: OpCase, index: number, dtype: DType): DType => {
  const own = op.inputs[index]!.dtype;
  return own === "float" ? dtype : own;
};

async function checkAgainstTorch(
  op: OpCase,
  fixture: CaseFixture,
  dtype: DType,
  layout: ArrangementName,
): Promise<void> {
  const { host, view, applies } = arrangements[layout];
  const run = compile((fed: Tensor[], cotangents: (Tensor | null)[]) => {
    const inputs = fed.map((x, i) => (applies(op.inputs[i]!.shape) ? view(x) : x));
    const results = listOf(op.call(...inputs));
    return { results, pulled: pullBack(op, inputs, results, cotangents) };
  });
  const expected = fixture.series(`${dtype}.y`);
  const fed = op.inputs.map(({ shape }, i) => {
    const stored = fixture.get(inputNames[i]!);
    const arrange = applies(shape) ? host : arrangements.plain.host;
    return arrange(stored, inputDType(op, i, dtype));
  });
  const cotangents = expected.map((y, i) =>
    isFloating(y.dtype) ? new HostTensor(fixture.get(`c${i}`).data, y.shape, y.dtype) : null,
  );
  const { results, pulled } = await run(fed, cotangents);
  const tolerance = toleranceOf(dtype, op.options.loose?.[dtype]);
  const place = `${layout} ${dtype}`;
  expect(results.length, place).toBe(expected.length);
  results.forEach((y, i) => expectClose(y, expected[i]!, tolerance, `${place} result ${i}`));
  const wanted = [...inputNames].slice(0, op.inputs.length).flatMap((name) => {
    const gradient = fixture.find(`${dtype}.d${name}`);
    return gradient === undefined ? [] : [{ name, gradient }];
  });
  expect(pulled.length, place).toBe(wanted.length);
  wanted.forEach(({ name, gradient }, i) =>
    expectClose(pulled[i]!, gradient, tolerance, `${place} gradient towards ${name}`),
  );
  for (const t of [...results, ...pulled]) t.dispose();
  run.dispose();
}

/** With its inputs given away, an operation may overwrite them. */
async function checkDonated(op: OpCase, fixture: CaseFixture, dtype: DType): Promise<void> {
  const run = compile((fed: Tensor[]) => listOf(op.call(...fed)), { donate: [0] });
  const fed = op.inputs.map((_, i) =>
    arrangements.plain.host(fixture.get(inputNames[i]!), inputDType(op, i, dtype)).upload(),
  );
  const results: readonly DeviceTensor[] = await run(fed);
  const tolerance = toleranceOf(dtype, op.options.loose?.[dtype]);
  results.forEach((y, i) => expectClose(y, fixture.get(`${dtype}.y${i}`), tolerance, `donated result ${i}`));
  expect(fed.map((t) => t.disposed)).toEqual(fed.map(() => true));
  for (const t of results) t.dispose();
  run.dispose();
}

await startEngine();

for (const [family, cases] of Object.entries(families)) {
  describe(family, () => {
    const fixtures = readFamily(family);

    it("has a fixture for each case, made from the same inputs and expression", () => {
      expect([...fixtures.keys()], "run python parity/ops.py").toEqual(cases.map((op) => op.id));
      expect(new Set(fixtures.keys()).size, "two cases are the same").toBe(cases.length);
    });

    it.each(cases.map((op) => [op.id, op] as const))("%s", async (id, op) => {
      const fixture = fixtures.get(id)!;
      const before = liveTensors();
      for (const dtype of op.dtypes) await checkAgainstTorch(op, fixture, dtype, "plain");
      const first = op.dtypes[0]!;
      for (const layout of ["permuted", "sliced"] as const) {
        const differs = op.inputs.some(({ shape }) => arrangements[layout].applies(shape));
        if (differs) await checkAgainstTorch(op, fixture, first, layout);
      }
      await checkDonated(op, fixture, first);
      expect(liveTensors()).toBe(before);
    });
  });
}
