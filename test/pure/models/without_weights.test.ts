/** @file Models without weights have the parameters that transformers saved. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  AutoModelForCausalLM,
  openCheckpoint,
  readConfig,
  supportedModelTypes,
} from "../../../src/models/index.js";
import { attachWithoutValues } from "../../../src/peft/without_values.js";
import { SafetensorsFile } from "../../../src/models/safetensors/read.js";
import { readAdapterConfig } from "../../../src/peft/index.js";
import { existsSync } from "node:fs";

const folder = join(import.meta.dirname, "../../fixtures/architectures");
const types = supportedModelTypes.filter((type) => existsSync(join(folder, type)));

test("there is a checkpoint of nearly every architecture", () => {
  expect(types.length).toBeGreaterThanOrEqual(supportedModelTypes.length - 1);
});

describe.each(types)("%s", (type) => {
  const config = readConfig(join(folder, type));
  const make = () => AutoModelForCausalLM.withoutWeights(config, { dtype: "float32" });

  test("has as many numbers as its checkpoint", () => {
    using checkpoint = openCheckpoint(join(folder, type));
    const stored = checkpoint.names
      .filter((name) => !/vision_tower|multi_modal_projector/.test(name))
      .reduce((total, name) => total + checkpoint.shape(name).reduce((a, b) => a * b, 1), 0);
    expect(
      make()
        .parameters()
        .reduce((total, { numel }) => total + numel, 0),
    ).toBe(stored);
  });

  test.runIf(existsSync(join(folder, type, "adapter")))("gets the adapter that PEFT saved", () => {
    const adapter = join(folder, type, "adapter");
    const { r, targetModules, modulesToSave, useDora, rankPattern } = readAdapterConfig(adapter);
    const options = { r, targetModules, modulesToSave, useDora, rankPattern };
    const file = new SafetensorsFile(join(adapter, "adapter_model.safetensors"));
    try {
      const shapes = (entries: Iterable<readonly [string, { readonly shape: readonly number[] }]>) =>
        new Map([...entries].map(([name, { shape }]) => [name, shape.join()]));
      expect(shapes(attachWithoutValues(make(), options).parameters)).toEqual(shapes(file.tensors));
    } finally {
      file.close();
    }
  });
});
