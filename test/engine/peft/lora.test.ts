/** @file LoRA against PEFT (parity/lora.py): what a model with an adapter computes, its gradients, and one step. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AdamW } from "../../../src/optim/index.js";
import { LoraLinear, LoraModel } from "../../../src/peft/index.js";
import { withPackedWeights } from "../../../src/nn/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import type { Parameter } from "../../../src/tensor/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import { load, realLogits, run, type ModelInput } from "../models/llama_fixture.js";

const folder = join(import.meta.dirname, "../../fixtures/peft");
const { input, step } = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as {
  readonly input: ModelInput;
  readonly step: { readonly lr: number; readonly weight_decay: number };
};

let fixture: Map<string, Expected>;
let model: CausalLM;
beforeAll(async () => {
  await loadTorch();
  fixture = readTensors(join(folder, "expected.safetensors"));
});
beforeEach(async () => {
  model = await load("tied");
});
afterEach(() => model.dispose());

/** Attaches the adapter that PEFT wrote. */
const attach = (to: CausalLM): LoraModel => LoraModel.load(to, join(folder, "adapter"));

describe("a model with PEFT's adapter", () => {
  it("has PEFT's logits, loss and gradients", async () => {
    const lora = attach(model);
    const { logits, loss, gradients } = await run(model, input, lora.namedParameters());
    expect(largestDifference(realLogits(logits, input, 1), need(fixture, "logits").values)).toBeLessThan(
      1e-5,
    );
    expect(Math.abs(loss - need(fixture, "loss").values[0]!)).toBeLessThan(1e-5);
    const expected = [...fixture.keys()].filter((name) => name.startsWith("grad."));
    expect([...gradients.keys()].map((name) => `grad.${name}`).sort()).toEqual(expected.sort());
    for (const [name, gradient] of gradients) expectClose(gradient, need(fixture, `grad.${name}`), name);
  });

  it("has PEFT's logits where weights are packed, the adapter merged into them", async () => {
    attach(model);
    const { logits } = await run(model, input, [], withPackedWeights);
    expect(largestDifference(realLogits(logits, input, 1), need(fixture, "logits").values)).toBeLessThan(
      1e-5,
    );
  });

  it("has the base model's logits when the adapter is taken off", async () => {
    const before = liveTensors();
    const lora = attach(model);
    lora.detach();
    expect(liveTensors()).toBe(before);
    const { logits } = await run(model, input, []);
    const expected = need(fixture, "logits without").values;
    expect(largestDifference(realLogits(logits, input, 1), expected)).toBeLessThan(1e-5);
    expect(largestDifference(expected, need(fixture, "logits").values)).toBeGreaterThan(0.1);
  });

  it("keeps the adapter in float32 beside a bfloat16 model, with gradients near those in float32", async () => {
    using half = await load("tied", {}, { dtype: "bfloat16" });
    const lora = attach(half);
    const { gradients } = await run(half, input, lora.namedParameters());
    for (const [name, gradient] of gradients) {
      expect([name, gradient.dtype]).toEqual([name, "float32"]);
      expectClose(gradient, need(fixture, `grad.${name}`), name, 0.1);
    }
    lora.detach();
  });
});

describe("one step of AdamW", () => {
  it("moves every adapter parameter as PyTorch does, and no other", async () => {
    const lora = attach(model);
    const others: readonly (readonly [string, Parameter])[] = [...model.namedParameters()].filter(
      ([name]) => !name.includes("lora"),
    );
    const all = [...lora.namedParameters(), ...others];
    const before = new Map(all.map(([name, p]) => [name, p.value.toNumbers()]));
    expect(model.trainableParameters()).toEqual(lora.parameters());

    const { gradients } = await run(model, input, lora.namedParameters());
    const optimizer = new AdamW([{ parameters: lora.parameters(), weightDecay: step.weight_decay }]);
    optimizer.step([...gradients.values()], step.lr);

    for (const [name, parameter] of lora.namedParameters()) {
      const expected = need(fixture, `after.${name}`);
      // A step is about lr = 0.01 in size, and depends on a gradient near 0 through its sign alone.
      expectClose(parameter.value, expected, name, 1e-5);
      const moved = need(before, name).map((value, i) => Math.abs(value - expected.values[i]!));
      expect(Math.min(...moved), `every element of ${name} has moved`).toBeGreaterThan(1e-4);
    }
    expect(others.length).toBeGreaterThan(20);
    for (const [name, parameter] of others)
      expect(parameter.value.toNumbers(), name).toEqual(need(before, name));
  });
});

describe("adapter files", () => {
  it("written from an attached adapter are PEFT's, byte for byte", () => {
    const lora = attach(model);
    const path = mkdtempSync(join(tmpdir(), "craft-lora-"));
    try {
      lora.save(path);
      expect(readdirSync(path).sort()).toEqual(readdirSync(join(folder, "adapter")).sort());
      for (const file of readdirSync(path))
        expect(readFileSync(join(path, file)).equals(readFileSync(join(folder, "adapter", file))), file).toBe(
          true,
        );
    } finally {
      rmSync(path, { recursive: true });
    }
  });
});

describe("a new adapter", () => {
  it("changes nothing at first: A is uniform within 1/sqrt(in), B zero", async () => {
    const plain = (await run(model, input, [])).logits.toNumbers();
    const lora = LoraModel.create(model, { r: 4, targetModules: ["q_proj", "mlp.up_proj"] }, 7);
    expect((await run(model, input, [])).logits.toNumbers()).toEqual(plain);
    expect([...lora.namedParameters()].map(([name, p]) => `${name} ${p.shape.join("x")}`)).toEqual(
      [0, 1].flatMap((layer) =>
        [
          ["self_attn.q_proj", "4x16", "32x4"],
          ["mlp.up_proj", "4x16", "12x4"],
        ].flatMap(([path, a, b]) => [
          `base_model.model.model.layers.${layer}.${path}.lora_A.weight ${a}`,
          `base_model.model.model.layers.${layer}.${path}.lora_B.weight ${b}`,
        ]),
      ),
    );
    for (const { lora: update } of lora.updates.values()) {
      if (!(update instanceof LoraLinear)) throw new TypeError("q_proj is a linear layer");
      const { loraA, loraB } = update;
      const sizes = loraA.value.toNumbers().map(Math.abs);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(0.25);
      expect(Math.max(...sizes)).toBeGreaterThan(0.2);
      expect(new Set(loraB.value.toNumbers())).toEqual(new Set([0]));
    }
  });

  it.each([
    [{ targetModules: ["qproj"] }, /lora_target_modules = qproj: matches no linear layer.*q_proj/],
    [{ targetModules: [] }, /must name at least one layer/],
    [{ r: 0 }, /lora_r = 0/],
    [{ loraAlpha: -1 }, /lora_alpha = -1/],
    [{ loraDropout: 1 }, /lora_dropout = 1/],
  ])("with %o is refused", (options, message) => {
    expect(() => LoraModel.create(model, options)).toThrow(message);
  });

  it("is refused where there is one already", () => {
    LoraModel.create(model);
    expect(() => LoraModel.create(model)).toThrow(/has an adapter already/);
  });
});
