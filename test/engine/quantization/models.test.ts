/** @file Models in 4 bits against transformers with the same weights (parity/quantization.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  AutoModelForCausalLM,
  AutoModelForSequenceClassification,
  savePretrained,
  type CausalLM,
} from "../../../src/models/index.js";
import { LoraModel } from "../../../src/peft/index.js";
import { fourBitLayers } from "../../../src/quantization/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import { architectures, architecturesFolder, inputs } from "../models/architecture_fixture.js";
import { inFolder, realLogits, run, type ModelInput } from "../models/llama_fixture.js";

const folder = join(import.meta.dirname, "../../fixtures/quantization");
const peft = join(folder, "../peft");

beforeAll(() => loadTorch());

const nf4 = { loadIn4bit: true, bnb4bitQuantType: "nf4", bnb4bitUseDoubleQuant: true } as const;

async function logitsOf(model: CausalLM, input: ModelInput): Promise<number[]> {
  const { logits } = await run(model, input, []);
  const values = realLogits(logits, input, 1);
  logits.dispose();
  return values;
}

describe.each(["nf4", "fp4"])("the folder %s that transformers saved", (name) => {
  const path = join(folder, name);
  const { input } = JSON.parse(readFileSync(join(peft, "expected.json"), "utf8")) as {
    readonly input: ModelInput;
  };
  let expected: Map<string, Expected>;
  beforeAll(() => {
    expected = readTensors(join(folder, "expected.safetensors"));
  });

  it("has the logits of its weights, with and without an adapter, and the adapter's gradients", async () => {
    const before = liveTensors();
    {
      using model = await AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
      expect([...fourBitLayers(model)].map(([at]) => at)).toEqual(
        [...model.linearLayers()].map(([at]) => at),
      );
      const plain = need(expected, `${name}.logits`).values;
      expect(largestDifference(await logitsOf(model, input), plain)).toBeLessThan(1e-5);
      const lora = LoraModel.load(model, join(peft, "adapter"));
      const { logits, gradients } = await run(model, input, lora.namedParameters());
      const adapted = need(expected, `${name}.adapted.logits`).values;
      expect(largestDifference(realLogits(logits, input, 1), adapted)).toBeLessThan(1e-5);
      expect(largestDifference(adapted, plain)).toBeGreaterThan(0.1);
      logits.dispose();
      expect(gradients.size).toBeGreaterThan(0);
      for (const [key, gradient] of gradients) {
        expectClose(gradient, need(expected, `${name}.grad.${key}`), key);
        gradient.dispose();
      }
    }
    expect(liveTensors()).toBe(before);
  });

  it("is written again byte for byte", async () => {
    await inFolder(async (copy) => {
      using model = await AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
      savePretrained(model, copy);
      for (const file of ["model.safetensors", "config.json"])
        expect(readFileSync(join(copy, file)).equals(readFileSync(join(path, file))), file).toBe(true);
    });
  });
});

describe.each(architectures)("%s, quantised while it is read", (name) => {
  const path = join(architecturesFolder, name);
  const input = inputs.plain;

  it("has the logits of its new weights, and so has what is saved of it", async () => {
    const expected = readTensors(join(folder, "architectures.safetensors"));
    const options = { dtype: "float32", quantization: nf4 } as const;
    using model = await AutoModelForCausalLM.fromPretrained(path, options);
    expect([...fourBitLayers(model)]).toHaveLength([...model.linearLayers()].length);
    const found = await logitsOf(model, input);
    expect(largestDifference(found, need(expected, `${name}.logits`).values)).toBeLessThan(1e-4);
    await inFolder(async (copy) => {
      savePretrained(model, copy, { maxShardBytes: 5000 });
      using again = await AutoModelForCausalLM.fromPretrained(copy, { dtype: "float32" });
      expect(await logitsOf(again, input)).toEqual(found);
    });
  });

  it("has the logits and gradients of an adapter on all linear layers", async () => {
    const expected = readTensors(join(folder, "architectures.safetensors"));
    const options = { dtype: "float32", quantization: nf4 } as const;
    using model = await AutoModelForCausalLM.fromPretrained(path, options);
    const lora = LoraModel.load(model, join(path, "adapter"));
    const wanted = [...lora.namedParameters()].filter(([key]) => expected.has(`${name}.grad.${key}`));
    expect(wanted.length).toBeGreaterThan(3);
    const { logits, gradients } = await run(model, input, wanted);
    const adapted = need(expected, `${name}.adapted.logits`).values;
    expect(largestDifference(realLogits(logits, input, 1), adapted)).toBeLessThan(1e-4);
    logits.dispose();
    for (const [key, gradient] of gradients) {
      expectClose(gradient, need(expected, `${name}.grad.${key}`), key, 1e-3);
      gradient.dispose();
    }
  });
});

describe("a model that scores texts", () => {
  it("is quantised without its head, and scores the same after it was saved", async () => {
    const rows = inputs.plain.inputIds;
    using model = await AutoModelForSequenceClassification.fromPretrained(
      join(architecturesFolder, "qwen2"),
      { dtype: "float32", quantization: { ...nf4, llmInt8SkipModules: ["q_proj"] }, numLabels: 2 },
    );
    const scores = await model.predict(rows);
    using whole = await AutoModelForSequenceClassification.fromPretrained(
      join(architecturesFolder, "qwen2"),
      { dtype: "float32", numLabels: 2 },
    );
    expect(largestDifference((await whole.predict(rows)).flat(), scores.flat())).toBeGreaterThan(0.01);
    await inFolder(async (copy) => {
      model.savePretrained(copy);
      const config = JSON.parse(readFileSync(join(copy, "config.json"), "utf8")) as {
        readonly quantization_config: { readonly llm_int8_skip_modules: readonly string[] };
      };
      expect(config.quantization_config.llm_int8_skip_modules).toContain("score");
      using again = await AutoModelForSequenceClassification.fromPretrained(copy, { dtype: "float32" });
      expect(await again.predict(rows)).toEqual(scores);
    });
  });
});
