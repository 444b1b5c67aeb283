/** @file Attaching adapters that PEFT wrote. That they compute what PEFT computes, test/engine/generation checks. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { withPackedWeights } from "../../../src/nn/index.js";
import { loadAdapter, LoraModel } from "../../../src/peft/index.js";
import { compile, HostTensor, type Tensor } from "../../../src/tensor/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { largestDifference } from "../fixtures.js";
import { adapterFolder, expected, loadModel } from "../generation/fixture.js";

const fixtures = join(import.meta.dirname, "../../fixtures");

it("merges into packed weights what it adds to the outputs otherwise", async () => {
  using model = await loadModel();
  const ids = new HostTensor(expected.sequence, [1, expected.sequence.length], "int64");
  const forward = compile((tokens: Tensor, _adapted: boolean) => ({
    plain: model.forward(tokens),
    packed: withPackedWeights(() => model.forward(tokens)),
  }));
  const bare = await forward(ids, false);
  loadAdapter(model, adapterFolder);
  const adapted = await forward(ids, true);
  const numbers = adapted.plain.toNumbers();
  const scale = Math.max(...numbers.map(Math.abs));
  expect(largestDifference(adapted.packed.toNumbers(), numbers)).toBeLessThan(1e-5 * scale);
  expect(largestDifference(bare.plain.toNumbers(), numbers)).toBeGreaterThan(0.1 * scale);
  forward.dispose();
});

it("refuses an adapter of another base model, and leaves the model as it was", async () => {
  using small = await AutoModelForCausalLM.fromPretrained(join(fixtures, "models/single"), {
    dtype: "float32",
  });
  using model = await loadModel();
  const before = liveTensors();
  const other = /layers\.1\.mlp\.down_proj: is no linear layer or embedding table of the model/;
  expect(() => loadAdapter(small, adapterFolder)).toThrow(other);
  expect(() => loadAdapter(model, join(fixtures, "models/adapter"))).toThrow(
    /layers\.1\.self_attn\.q_proj: is chosen by adapter_config.json, and the file of weights has nothing/,
  );
  expect([...small.linearLayers()].some(([, layer]) => layer.adapter !== undefined)).toBe(false);
  expect(liveTensors()).toBe(before);
});

it("refuses a second adapter, and a model folder", async () => {
  using model = await loadModel();
  loadAdapter(model, adapterFolder);
  const before = liveTensors();
  expect(() => loadAdapter(model, adapterFolder)).toThrow(/model: has an adapter already\. Add another one/);
  const lora = LoraModel.of(model)!;
  expect(() => lora.loadAdapter(join(fixtures, "models/single"), "other")).toThrow(/holds a model/);
  expect(liveTensors()).toBe(before);
});
