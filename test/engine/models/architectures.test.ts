/** @file Each architecture against transformers: logits, loss, gradients and greedy tokens in float32. */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { generate } from "../../../src/generation/index.js";
import { supportedModelTypes } from "../../../src/models/index.js";
import { withPackedWeights } from "../../../src/nn/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import {
  architectures,
  architecturesFolder,
  inputs,
  loadArchitecture,
  prompts,
} from "./architecture_fixture.js";
import { realLogits, run } from "./llama_fixture.js";

beforeAll(() => loadTorch());

it("every supported architecture has a checkpoint, Llama's apart", () => {
  expect(architectures.map(([name]) => name).sort()).toEqual(
    supportedModelTypes.filter((name) => name !== "llama").sort(),
  );
});

describe.each(architectures)("%s", (name, { variants, greedy }) => {
  let fixture: Map<string, Expected>;
  beforeAll(() => {
    fixture = readTensors(join(architecturesFolder, name, "expected.safetensors"));
  });

  it("gives logits, loss and the gradient of every parameter as transformers does", async () => {
    const before = liveTensors();
    {
      using model = await loadArchitecture(name);
      const { logits, loss, gradients } = await run(model, inputs.plain);
      const found = realLogits(logits, inputs.plain, 1);
      expect(largestDifference(found, need(fixture, "plain/logits").values)).toBeLessThan(5e-5);
      expect(Math.abs(loss - need(fixture, "plain/loss").values[0]!)).toBeLessThan(2e-5);
      const expected = [...fixture.keys()].filter((key) => key.startsWith("plain/grad."));
      expect(expected.map((key) => key.slice("plain/grad.".length)).sort()).toEqual(
        [...gradients.keys()].sort(),
      );
      for (const [parameter, gradient] of gradients) {
        expectClose(gradient, need(fixture, `plain/grad.${parameter}`), `gradient of ${parameter}`, 2e-4);
        gradient.dispose();
      }
      logits.dispose();
    }
    expect(liveTensors()).toBe(before);
  });

  it("gives the same logits with padding on the left, and with packed weights", async () => {
    using model = await loadArchitecture(name);
    const expected = need(fixture, "left/logits").values;
    for (const around of [undefined, withPackedWeights]) {
      const { logits, loss } = await run(model, inputs.left, [], around);
      expect(largestDifference(realLogits(logits, inputs.left, 1), expected)).toBeLessThan(5e-5);
      expect(Math.abs(loss - need(fixture, "left/loss").values[0]!)).toBeLessThan(2e-5);
      logits.dispose();
    }
  });

  it.each(Object.entries(variants))("variant: %s", async (variant, fields) => {
    using model = await loadArchitecture(name, fields);
    const { logits, loss } = await run(model, inputs.plain, []);
    const found = realLogits(logits, inputs.plain, 1);
    expect(largestDifference(found, need(fixture, `${variant}/logits`).values)).toBeLessThan(5e-5);
    expect(Math.abs(loss - need(fixture, `${variant}/loss`).values[0]!)).toBeLessThan(2e-5);
    // And it is a variant: the settings change something.
    expect(largestDifference(found, need(fixture, "plain/logits").values)).toBeGreaterThan(1e-3);
    logits.dispose();
  });

  it("continues prompts as transformers does, alone and padded in a batch", async () => {
    using model = await loadArchitecture(name);
    const options = { maxNewTokens: 32, eosTokenIds: [], temperature: 0 };
    const batch = await generate(model, { ...options, inputIds: prompts });
    expect(batch.sequences).toEqual(greedy);
    for (const [i, prompt] of prompts.entries())
      expect((await generate(model, { ...options, inputIds: [prompt] })).sequences).toEqual([greedy[i]]);
  });
});
