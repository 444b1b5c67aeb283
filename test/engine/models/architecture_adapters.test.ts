/** @file PEFT's adapters on every linear layer of each architecture (parity/architectures.py). */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { withPackedWeights } from "../../../src/nn/index.js";
import { loadAdapter } from "../../../src/peft/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need, readTensors } from "../fixtures.js";
import { architectures, architecturesFolder, inputs, loadArchitecture } from "./architecture_fixture.js";
import { realLogits, run } from "./llama_fixture.js";

beforeAll(() => loadTorch());

describe.each(architectures)("%s", (name) => {
  it("gives PEFT's logits with an adapter on all linear layers, apart and merged into packed weights", async () => {
    using model = await loadArchitecture(name);
    const layers = [...model.linearLayers()].map(([path]) => path);
    loadAdapter(model, join(architecturesFolder, name, "adapter"));
    const fixture = readTensors(join(architecturesFolder, name, "expected.safetensors"));
    const expected = need(fixture, "adapter/logits").values;
    for (const around of [undefined, withPackedWeights]) {
      const { logits } = await run(model, inputs.plain, [], around);
      const found = realLogits(logits, inputs.plain, 1);
      expect(largestDifference(found, expected)).toBeLessThan(1e-4);
      expect(largestDifference(found, need(fixture, "plain/logits").values)).toBeGreaterThan(0.01);
      logits.dispose();
    }
    const adapted = [
      ...readTensors(join(architecturesFolder, name, "adapter/adapter_model.safetensors")).keys(),
    ];
    const paths = adapted.map((key) => key.replace(/^base_model\.model\.|\.lora_[AB]\.weight$/g, ""));
    expect([...new Set(paths)].sort()).toEqual([...layers].sort());
  });
});
