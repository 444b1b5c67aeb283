/** @file Several adapters on one model; what compiled functions see of them; sums of them, against PEFT. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TokenGenerator } from "../../../src/generation/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import { LoraModel, type Combination } from "../../../src/peft/index.js";
import { compile, HostTensor, type Compiled, type Tensor } from "../../../src/tensor/index.js";
import { liveTensors, type DeviceTensor } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import { load, realLogits, type ModelInput } from "../models/llama_fixture.js";

const folder = join(import.meta.dirname, "../../fixtures/peft/variants");
const { input, weighted } = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as {
  readonly input: ModelInput;
  readonly weighted: Readonly<Record<Combination["type"], Readonly<Record<string, number>>>>;
};
const ids = HostTensor.from(input.inputIds, "int64");
const mask = HostTensor.from(input.attentionMask!, "int64");

let fixture: Map<string, Expected>;
let model: CausalLM;
let forward: Compiled<[Tensor, Tensor], Tensor>;
let plain: readonly number[];
beforeAll(async () => {
  await loadTorch();
  fixture = readTensors(join(folder, "expected.safetensors"));
});
beforeEach(async () => {
  model = await load("tied");
  forward = compile((inputIds: Tensor, attentionMask: Tensor) => model.forward(inputIds, { attentionMask }));
  plain = await logits();
});
afterEach(() => {
  forward.dispose();
  model.dispose();
});

/** By one compiled function, whatever the model's adapters are. */
async function logits(): Promise<readonly number[]> {
  using result = await forward(ids, mask);
  return realLogits(result, input, 1);
}
const expectLogits = async (of: string, tolerance = 2e-5): Promise<void> =>
  expect(largestDifference(await logits(), need(fixture, of).values), of).toBeLessThan(tolerance);
const at = (name: string): string => join(folder, name);

describe("a model with several adapters", () => {
  it("computes with the one that was set, and trains that one", async () => {
    const lora = LoraModel.load(model, at("patterns"), "patterns");
    lora.loadAdapter(at("saved_both"), "both");
    lora.loadAdapter(at("dora_on_a_table"), "dora");
    expect([lora.adapterNames, lora.activeAdapter]).toEqual([["patterns", "both", "dora"], "patterns"]);
    for (const [name, case_] of [
      ["patterns", "patterns"],
      ["both", "saved both"],
      ["dora", "dora on a table"],
      ["patterns", "patterns"],
    ] as const) {
      lora.setAdapter(name);
      await expectLogits(`${case_}/logits`);
      expect(lora.parameters().every(({ trainable }) => trainable)).toBe(true);
      const trained = new Set([
        ...model.trainableParameters(),
        ...(model.untiedHead ? [model.untiedHead] : []),
      ]);
      expect(trained).toEqual(new Set(lora.parameters()));
    }
    // No program is made anew for a state that was there before.
    expect(forward.cached).toBe(4);
    lora.detach();
    expect(await logits()).toEqual(plain);
    expect(forward.cached).toBe(4);
  });

  it("has the base model's outputs while disabled, also where the adapter is merged later", async () => {
    const lora = LoraModel.load(model, at("saved_table"));
    expect(await lora.disabled(async () => logits())).toEqual(plain);
    expect(lora.disabled(() => lora.disabled(() => model.headWeight().trainable))).toBe(false);
    await expectLogits("saved table/logits");
    expect(() =>
      lora.disabled(() => {
        throw new Error("out");
      }),
    ).toThrow("out");
    await expect(lora.disabled(() => Promise.reject(new Error("late")))).rejects.toThrow("late");
    await expectLogits("saved table/logits");
    expect(() => lora.disabled(() => lora.setAdapter("default"))).toThrow(/the adapter is disabled\. Wait/);
    await lora.mergeAdapter();
    await expectLogits("saved table/logits", 1e-4);
    expect(() => lora.setAdapter("default")).toThrow(
      /merged into the weights\. Call unmergeAdapter\(\) first/,
    );
    lora.unmergeAdapter();
    expect(() => lora.unmergeAdapter()).toThrow(/no adapter is merged/);
    lora.detach();
    expect(await logits()).toEqual(plain);
  });

  it("is followed by generation", async () => {
    using generator = new TokenGenerator(model);
    const generate = async (): Promise<number[][]> =>
      (
        await generator.generate({
          inputIds: [
            [5, 7, 9],
            [11, 4],
            [20, 21, 22, 23],
          ],
          maxNewTokens: 12,
        })
      ).sequences;
    const before = await generate();
    const lora = LoraModel.load(model, at("table"), "table");
    lora.loadAdapter(at("dora"), "dora");
    const table = await generate();
    lora.setAdapter("dora");
    const dora = await generate();
    expect(await lora.disabled(generate)).toEqual(before);
    lora.setAdapter("table");
    expect(await generate()).toEqual(table);
    await lora.mergeAdapter();
    expect(await generate()).toEqual(table);
    expect(new Set([before, table, dora].map(String)).size).toBe(3);
  });

  it("frees those that are deleted, and refuses names that it does not know, or knows", () => {
    const lora = LoraModel.create(model, { r: 2 }, 0, "a");
    const one = liveTensors();
    lora.addAdapter("b", { r: 3, modulesToSave: ["norm"] });
    lora.deleteAdapter("b");
    expect(liveTensors()).toBe(one);
    expect(() => lora.addAdapter("a")).toThrow(/adapter = a: is the name of another adapter/);
    expect(() => lora.addAdapter("")).toThrow(/is no name/);
    expect(() => lora.setAdapter("b")).toThrow(/adapter = b: is not in this model\. There are a\./);
    lora.deleteAdapter("a");
    expect(lora.activeAdapter).toBeUndefined();
    expect(() => lora.parameters()).toThrow(/has no adapter any more/);
    lora.addAdapter("c");
    expect(() => lora.parameters()).toThrow(/has no active adapter\. Activate one: c\./);
  });

  it("leaves the model as it was where an adapter cannot be made", async () => {
    const lora = LoraModel.create(model, { r: 2 });
    const before = liveTensors();
    for (const [options, message] of [
      [
        { targetModules: ["q_porj"] },
        /lora_target_modules = q_porj: matches no linear layer.*Layers end in q_proj/,
      ],
      [{ targetModules: ".*nothing" }, /matches no linear layer/],
      [{ targetModules: "(" }, /is not a regular expression that can be used here/],
      [{ targetModules: ["lm_head"] }, /is the head, to which no adapter can be attached\. Train it whole/],
      [{ modulesToSave: ["haed"] }, /lora_modules_to_save = haed: is the end of no module's path.*lm_head/],
      [{ excludeModules: ["q_proj", "v_proj"] }, /leaves no layer, after exclude_modules/],
      [{ initLoraWeights: "eva" }, /init_lora_weights = eva: is not supported\. Supported are true, false/],
      [{ initLoraWeights: "pissa", r: 40 }, /needs ranks up to the smaller side of a weight, which is 16/],
      [{ initLoraWeights: "orthogonal", r: 3 }, /needs even ranks/],
      [{ layersPattern: "layers" }, /does nothing without layers_to_transform/],
      [
        { layersToTransform: [0], targetModules: "all-linear" },
        /goes with a list in lora_target_modules only/,
      ],
      [{ rankPattern: { q_proj: 0 } }, /rank_pattern = .*: must give whole numbers/],
      [{ alphaPattern: { q_proj: -1 } }, /alpha_pattern = .*: must give positive/],
      [
        { rankPattern: { q_proj: 3, "attn.q_proj": 4 } },
        /has several patterns for model.layers.0.self_attn.q_proj: 3/,
      ],
    ] as const) {
      if (message.source.startsWith("has several")) {
        const patterns = { "self_attn.q_proj": 3, q_proj: 4 };
        expect(() => lora.addAdapter("b", { rankPattern: patterns })).toThrow(message);
      } else expect(() => lora.addAdapter("b", options)).toThrow(message);
    }
    expect(liveTensors()).toBe(before);
    expect([lora.adapterNames, lora.activeAdapter]).toEqual([["default"], "default"]);
    expect(await logits()).toEqual(plain);
  });
});

describe("weighted sums", () => {
  it.each(Object.entries(weighted))("by %s are PEFT's", async (type, parts) => {
    const lora = LoraModel.load(model, at("patterns"), "patterns");
    lora.loadAdapter(at("layers"), "layers");
    lora.loadAdapter(at("default_targets"), "default");
    const combination = { type } as Combination;
    lora.addWeightedAdapter(Object.keys(parts), Object.values(parts), "sum", combination);
    lora.setAdapter("sum");
    await expectLogits(`weighted/${type}`, 5e-5);
  });

  it("are refused where there is none", () => {
    const lora = LoraModel.load(model, at("dora"), "dora");
    lora.loadAdapter(at("patterns"), "patterns");
    lora.loadAdapter(at("layers"), "layers");
    const sum =
      (names: readonly string[], weights: readonly number[], type: Combination["type"] = "svd") =>
      () =>
        lora.addWeightedAdapter(names, weights, "sum", { type });
    expect(sum(["dora", "layers"], [1, 1])).toThrow(/adapters = dora: has more than two factors.*use_dora/);
    expect(sum(["patterns", "layers"], [1, 1], "linear")).toThrow(
      /needs adapters of one rank, and these have 4, 2/,
    );
    expect(sum(["patterns"], [1, 2])).toThrow(/must be one finite number for each adapter/);
    expect(sum([], [])).toThrow(/must name at least one/);
    expect(sum(["x"], [1])).toThrow(/adapter = x: is not in this model/);
  });
});

describe("initial values", () => {
  const norm = (values: readonly number[]): number => Math.hypot(...values);
  const update = (lora: LoraModel): number[] =>
    [...lora.namedParameters()].flatMap(([, { value }]) => value.toNumbers());

  it("differ by seed and name of the layer, and are the same for the same seed", () => {
    const drawn = [1, 1, 2].map((seed) => {
      const lora = LoraModel.create(model, { r: 2, initLoraWeights: false }, seed);
      const values = update(lora);
      lora.detach();
      return values;
    });
    expect(drawn[1]).toEqual(drawn[0]);
    expect(drawn[2]).not.toEqual(drawn[0]);
  });

  it("are normal by 1/r where gaussian, and orthogonal by rows where orthogonal", () => {
    const gaussian = LoraModel.create(model, { r: 8, initLoraWeights: "gaussian" }, 1);
    const a = [...gaussian.namedParameters()].flatMap(([name, { value }]) =>
      name.includes("lora_A") ? value.toNumbers() : [],
    );
    // 512 numbers: their root mean square is within a tenth of 1/8 but once in a thousand draws.
    expect(Math.abs(norm(a) / Math.sqrt(a.length) - 1 / 8)).toBeLessThan(0.0125);
    gaussian.detach();
    const orthogonal = LoraModel.create(
      model,
      { r: 4, initLoraWeights: "orthogonal", targetModules: ["q_proj"] },
      1,
    );
    const [first] = orthogonal.updates.values();
    if (first === undefined || !("loraA" in first.lora)) throw new TypeError("q_proj is a linear layer");
    // A is M Q_odd and B is N Q_even, rows of one orthogonal matrix, so that B A has no part in common: B Q_odd^T = 0.
    const [rows, columns] = [first.lora.loraA.value, first.lora.loraB.value].map((t) => t.toNumbers());
    const sums = Array.from({ length: 32 * 16 }, (_, i) => {
      const [o, k] = [Math.floor(i / 16), i % 16];
      return [0, 1, 2, 3].reduce((sum, j) => sum + columns![o * 4 + j]! * rows![j * 16 + k]!, 0);
    });
    expect(norm(sums)).toBeLessThan(1e-6);
    expect(norm(rows!)).toBeGreaterThan(0.1);
  });

  it("of pissa_niter_N come near those of pissa, the nearer the more iterations", async () => {
    const products: number[][] = [];
    for (const initLoraWeights of ["pissa", "pissa_niter_2", "pissa_niter_16"]) {
      const lora = LoraModel.create(model, { r: 3, initLoraWeights, targetModules: ["up_proj"] }, 1);
      expect(largestDifference(await logits(), plain)).toBeLessThan(1e-5);
      const [first] = lora.updates.values();
      if (first === undefined || !("loraA" in first.lora)) throw new TypeError("up_proj is a linear layer");
      const { loraA, loraB } = first.lora;
      const product = compile(() => loraB.matmul(loraA));
      using result: DeviceTensor = await product();
      products.push(result.toNumbers());
      product.dispose();
      lora.detach();
    }
    const [exact, few, many] = products as [number[], number[], number[]];
    const scale = Math.max(...exact.map(Math.abs));
    expect(largestDifference(many, exact)).toBeLessThan(1e-3 * scale);
    expect(largestDifference(few, exact)).toBeGreaterThan(largestDifference(many, exact));
    expect(largestDifference(few, exact)).toBeLessThan(0.5 * scale);
  });
});
