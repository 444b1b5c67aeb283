/** @file Llama against transformers: logits, loss and gradients in float32, and half precision beside them. */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { withPackedWeights } from "../../../src/nn/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import { cases, folder, halfPrecisionErrors, inputOf, load, realLogits, run } from "./llama_fixture.js";

let fixture: Map<string, Expected>;
beforeAll(async () => {
  await loadTorch();
  fixture = readTensors(join(folder, "expected.safetensors"));
});

const spellings = cases.flatMap((test) =>
  test.fields.map((fields, i) => ({
    ...test,
    title: test.fields.length === 1 ? test.name : `${test.name}, config.json of transformers ${4 + i}`,
    fields,
  })),
);

describe("in float32, within 1e-5 of transformers", () => {
  it.each(spellings)("$title", async ({ name, checkpoint, fields, input, logitStep }) => {
    using model = await load(checkpoint, fields);
    const batch = inputOf(input);
    const { logits, loss, gradients } = await run(model, batch);
    const expected = need(fixture, `${name}/logits`);
    expect(largestDifference(realLogits(logits, batch, logitStep), expected.values)).toBeLessThan(1e-5);
    expect(Math.abs(loss - need(fixture, `${name}/loss`).values[0]!)).toBeLessThan(1e-5);

    const prefix = `${name}/grad.`;
    const listed = [...fixture.keys()].filter((key) => key.startsWith(prefix));
    expect(listed.length).toBeGreaterThan(0);
    if (listed.length > 1) expect(listed.length).toBe(gradients.size);
    for (const key of listed) {
      const parameter = key.slice(prefix.length);
      expectClose(need(gradients, parameter), need(fixture, key), `gradient of ${parameter}`);
    }
  });

  it.each(["untied", "tied", "left"])("%s, with packed weights", async (name) => {
    const { checkpoint, input, logitStep } = cases.find((test) => test.name === name)!;
    using model = await load(checkpoint);
    const batch = inputOf(input);
    const { logits } = await run(model, batch, [], withPackedWeights);
    const expected = need(fixture, `${name}/logits`).values;
    expect(largestDifference(realLogits(logits, batch, logitStep), expected)).toBeLessThan(1e-5);
  });

  it("and other inputs or settings give other numbers", () => {
    const [theta, linear, dynamic, llama3] = ["theta", "linear", "dynamic", "llama3"].map(
      (kind) => need(fixture, `rope ${kind}/logits`).values,
    );
    for (const other of [linear, dynamic, llama3])
      expect(largestDifference(theta!, other!)).toBeGreaterThan(0.01);
    expect(
      largestDifference(
        need(fixture, "left/logits").values,
        need(fixture, "left, own positions/logits").values,
      ),
    ).toBeLessThan(1e-4);
    const gelu = need(fixture, "gelu/logits").values;
    expect(largestDifference(gelu, need(fixture, "gelu by tanh/logits").values)).toBeGreaterThan(1e-5);
  });
});

describe("in half precision", () => {
  it.each(Object.entries(halfPrecisionErrors))(
    "%s is as near to float32 as transformers' is",
    async (key, theirs) => {
      const [dtype, input] = key.split(" ") as ["bfloat16" | "float16", string];
      const batch = inputOf(input);
      using exactModel = await load("untied");
      using model = await load("untied", {}, { dtype });
      const exact = realLogits((await run(exactModel, batch, [])).logits, batch, 1);
      const ours = realLogits((await run(model, batch, [])).logits, batch, 1);
      const squares = ours.reduce((sum, value, i) => sum + (value - exact[i]!) ** 2, 0);
      const error = Math.sqrt(squares / ours.length);
      expect(error).toBeLessThan(1.1 * theirs);
      expect(error).toBeGreaterThan(0.1 * theirs);
    },
  );

  it.each(["bfloat16", "float16"] as const)("gradients in %s are near those in float32", async (dtype) => {
    const batch = inputOf("left");
    using exactModel = await load("tied");
    using model = await load("tied", {}, { dtype });
    const exact = (await run(exactModel, batch)).gradients;
    const half = (await run(model, batch)).gradients;
    for (const [name, gradient] of half) {
      expect(gradient.dtype).toBe(dtype);
      const values = need(exact, name).toNumbers();
      // 8 bits of bfloat16 through a dozen products; the float16 ones are finer.
      expectClose(gradient, { shape: gradient.shape, values }, name, dtype === "bfloat16" ? 0.1 : 0.02);
    }
  });
});
