/** @file Llama folders: saved and loaded again, in every dtype and in shards, and those that are refused. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { AutoModelForCausalLM, savePretrained, type CausalLM } from "../../../src/models/index.js";
import { openSafetensors, writeSafetensors } from "../../../src/models/safetensors/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { copyCheckpoint, folder, inFolder, inputOf, load, realLogits, run } from "./llama_fixture.js";

beforeAll(() => loadTorch());

const values = (model: CausalLM): Record<string, number[]> =>
  Object.fromEntries([...model.namedParameters()].map(([name, p]) => [name, p.value.toNumbers()]));

const json = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));

describe("save and load again", () => {
  it.each([
    ["untied", "float32"],
    ["tied", "float32"],
    ["sharded_bfloat16", "bfloat16"],
    ["float16", "float16"],
  ] as const)("%s gives the same weights, logits and config", async (name, dtype) => {
    await inFolder(async (path) => {
      using model = await AutoModelForCausalLM.fromPretrained(join(folder, name), { dtype });
      savePretrained(model, path);
      using again = await AutoModelForCausalLM.fromPretrained(path, { dtype });
      expect(values(again)).toEqual(values(model));
      expect(again.parameters().every((p) => p.dtype === dtype)).toBe(true);
      const batch = inputOf("plain");
      const [before, after] = [await run(model, batch, []), await run(again, batch, [])];
      expect(realLogits(after.logits, batch, 1)).toEqual(realLogits(before.logits, batch, 1));
      for (const file of ["config.json", "generation_config.json"])
        expect(json(join(path, file)), file).toEqual(json(join(folder, name, file)));
      // The very bytes that transformers wrote, where it wrote one file.
      if (name !== "sharded_bfloat16") {
        const file = "model.safetensors";
        expect(readFileSync(join(path, file)).equals(readFileSync(join(folder, name, file)))).toBe(true);
      }
    });
  });

  it("in shards", async () => {
    await inFolder(async (path) => {
      using model = await load("tied");
      savePretrained(model, path, { maxShardBytes: 8000 });
      const { weight_map: files } = json(join(path, "model.safetensors.index.json")) as {
        readonly weight_map: Record<string, string>;
      };
      expect(new Set(Object.values(files)).size).toBeGreaterThan(2);
      using again = await AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
      expect(values(again)).toEqual(values(model));
    });
  });

  it("has the head once where it is tied, and apart where it is not", async () => {
    using tied = await load("tied");
    using untied = await load("untied");
    const names = (model: CausalLM): string[] => [...model.namedParameters()].map(([name]) => name);
    expect(names(tied)).not.toContain("lm_head.weight");
    expect(tied.headWeight()).toBe(tied.parameter("model.embed_tokens.weight"));
    expect(names(untied)).toContain("lm_head.weight");
  });

  it("leaves no tensor behind when the model is disposed of", async () => {
    const before = liveTensors();
    (await load("untied")).dispose();
    expect(liveTensors()).toBe(before);
  });
});

describe("what is refused", () => {
  /** Loads a checkpoint whose tensors `change` has changed. */
  async function loadChanged(change: (tensors: Map<string, DeviceTensor>) => void): Promise<CausalLM> {
    return inFolder(async (path) => {
      copyCheckpoint("untied", path, {});
      const file = join(path, "model.safetensors");
      const tensors = new Map<string, DeviceTensor>();
      using original = openSafetensors(file);
      for (const name of original.tensors.keys()) tensors.set(name, original.read(name));
      const all = [...tensors.values()];
      change(tensors);
      writeSafetensors(file, tensors, { metadata: { format: "pt" } });
      for (const tensor of [...all, ...tensors.values()]) tensor.dispose();
      return AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
    });
  }
  const norm = "model.layers.1.input_layernorm.weight";

  it("a tensor of the wrong shape, with nothing left in memory", async () => {
    const before = liveTensors();
    await expect(loadChanged((tensors) => tensors.set(norm, DeviceTensor.full([8], 1)))).rejects.toThrow(
      /tensor model\.layers\.1\.input_layernorm\.weight = \[8\]: has another shape .* \[16\]/,
    );
    expect(liveTensors()).toBe(before);
  });

  it("a missing tensor", async () => {
    await expect(loadChanged((tensors) => tensors.delete(norm))).rejects.toThrow(
      /= model\.layers\.1\.input_layernorm\.weight: lacks this tensor/,
    );
  });

  it("a tensor that the architecture has no place for", async () => {
    await expect(
      loadChanged((tensors) =>
        tensors.set("model.layers.1.self_attn.q_proj.bias", DeviceTensor.full([16], 0)),
      ),
    ).rejects.toThrow(/q_proj\.bias: has 1 tensors that the architecture/);
  });

  it("a file that was cut short", async () => {
    await inFolder(async (path) => {
      copyCheckpoint("untied", path, {});
      const file = join(path, "model.safetensors");
      writeFileSync(file, readFileSync(file).subarray(0, -100));
      await expect(AutoModelForCausalLM.fromPretrained(path)).rejects.toThrow(/model\.safetensors/);
    });
  });

  it.each([
    [
      { model_type: "mamba" },
      /model_type = mamba: is not a supported architecture\. Supported are gemma2, gemma3, gemma3_text, gpt2/,
    ],
    [
      { rope_scaling: { type: "proportional", factor: 2 } },
      /proportional.*not supported\. Supported are default, linear, dynamic, llama3, yarn, longrope/,
    ],
    [{ hidden_act: "relu2" }, /hidden_act = relu2/],
    [{ num_key_value_heads: 3 }, /num_key_value_heads = 3: does not divide num_attention_heads/],
    [
      { vocab_size: 33 },
      /embed_tokens\.weight = \[32, 16\]: has another shape than config\.json says, \[33, 16\]/,
    ],
  ])("config.json with %o", async (fields, message) => {
    await expect(load("untied", fields)).rejects.toThrow(message);
  });

  it("a dtype that is no float", async () => {
    await expect(load("untied", {}, { dtype: "int32" })).rejects.toThrow(/dtype = int32: is not a float/);
  });
});
