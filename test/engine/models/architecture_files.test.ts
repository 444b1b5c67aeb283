/** @file Folders of each architecture: saved as transformers saves them, in shards, under other names, and refused. */
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { generate } from "../../../src/generation/index.js";
import { AutoModelForCausalLM, savePretrained, type CausalLM } from "../../../src/models/index.js";
import { openSafetensors, writeSafetensors } from "../../../src/models/safetensors/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need, readTensors } from "../fixtures.js";
import {
  architectures,
  architecturesFolder,
  copyArchitecture,
  inputs,
  loadArchitecture,
} from "./architecture_fixture.js";
import { refusals } from "./architecture_refusals.js";
import { inFolder, realLogits, run } from "./llama_fixture.js";

beforeAll(() => loadTorch());

const json = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
const bytes = (...path: string[]): Buffer => readFileSync(join(...path));
const values = (model: CausalLM): Record<string, number[]> =>
  Object.fromEntries([...model.namedParameters()].map(([name, p]) => [name, p.value.toNumbers()]));

async function logitsOf(model: CausalLM): Promise<number[]> {
  const { logits } = await run(model, inputs.plain, []);
  const found = realLogits(logits, inputs.plain, 1);
  logits.dispose();
  return found;
}

/** Weights that transformers wrote are what we write, so that transformers reads ours as it reads its own. */
describe.each(architectures)("%s", (name) => {
  const vision = name === "gemma3";

  it("is saved byte for byte as transformers saves it", async () => {
    await inFolder(async (path) => {
      using model = await loadArchitecture(name);
      savePretrained(model, path);
      const weights = vision ? "text.safetensors" : "model.safetensors";
      expect(bytes(path, "model.safetensors").equals(bytes(architecturesFolder, name, weights))).toBe(true);
      const original = json(join(architecturesFolder, name, "config.json"));
      const saved = json(join(path, "config.json"));
      if (vision) {
        expect(saved).toMatchObject({
          ...(original["text_config"] as object),
          architectures: ["Gemma3ForCausalLM"],
          model_type: "gemma3_text",
          eos_token_id: [2, 5],
          tie_word_embeddings: true,
        });
      } else expect(saved).toEqual(original);
      using again = await AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
      expect(again.modelType).toBe(vision ? "gemma3_text" : name);
      const expected = need(
        readTensors(join(architecturesFolder, name, "expected.safetensors")),
        "plain/logits",
      );
      expect(largestDifference(await logitsOf(again), expected.values)).toBeLessThan(5e-5);
    });
  });

  it("keeps generation_config.json, and what it says of tokens and sampling", async () => {
    await inFolder(async (path) => {
      using model = await loadArchitecture(name);
      expect(model.eosTokenIds).toEqual([2, 5]);
      expect(model.generationConfig).toMatchObject({
        eosTokenIds: [2, 5],
        doSample: true,
        temperature: 0.7,
        topK: 20,
        topP: 0.9,
      });
      savePretrained(model, path);
      const file = "generation_config.json";
      expect(bytes(path, file).equals(bytes(architecturesFolder, name, file))).toBe(true);
    });
  });

  it("is saved and loaded in shards, and refused without one of them", async () => {
    await inFolder(async (path) => {
      using model = await loadArchitecture(name);
      savePretrained(model, path, { maxShardBytes: 12_000 });
      const shards = readdirSync(path).filter((file) => file.endsWith(".safetensors"));
      expect(shards.length).toBeGreaterThan(2);
      using again = await AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
      expect(await logitsOf(again)).toEqual(await logitsOf(model));
      rmSync(join(path, shards[1]!));
      const before = liveTensors();
      await expect(AutoModelForCausalLM.fromPretrained(path)).rejects.toThrow(
        new RegExp(`${shards[1]!}: does not exist, and model\\.safetensors\\.index\\.json names it`),
      );
      expect(liveTensors()).toBe(before);
    });
  });

  it("computes in bfloat16 what it computes in float32, nearly", async () => {
    await inFolder(async (path) => {
      copyArchitecture(name, path);
      using exact = await AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
      using half = await AutoModelForCausalLM.fromPretrained(path, { dtype: "bfloat16" });
      const [a, b] = [await logitsOf(exact), await logitsOf(half)];
      const norm = (x: readonly number[]): number => Math.sqrt(x.reduce((sum, value) => sum + value ** 2, 0));
      // 8 bits, through a dozen products of each layer.
      expect(norm(a.map((value, i) => value - b[i]!)) / norm(a)).toBeLessThan(0.1);
    });
  });

  it("is made at random from its config alone", async () => {
    const config = json(join(architecturesFolder, name, "config.json"));
    using model = await AutoModelForCausalLM.fromConfig(config as never, { dtype: "float32", seed: 3 });
    const logits = await logitsOf(model);
    expect(logits.every(Number.isFinite)).toBe(true);
    expect(new Set(logits).size).toBeGreaterThan(100);
  });
});

describe("names in checkpoints", () => {
  /** Loads a checkpoint whose tensors have other names, or more of them. */
  async function loadRenamed(
    name: string,
    rename: (tensor: string) => string,
    more: Readonly<Record<string, readonly number[]>> = {},
  ): Promise<CausalLM> {
    return inFolder(async (path) => {
      copyArchitecture(name, path);
      const file = join(path, "model.safetensors");
      using original = openSafetensors(file);
      const tensors = new Map([...original.tensors.keys()].map((key) => [rename(key), original.read(key)]));
      for (const [key, shape] of Object.entries(more)) tensors.set(key, DeviceTensor.full(shape, 1));
      writeSafetensors(file, tensors, { metadata: { format: "pt" } });
      for (const tensor of tensors.values()) tensor.dispose();
      return AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
    });
  }

  it.each([
    ["gpt2", "of the first versions, with masks", /^transformer\./, { "h.0.attn.bias": [1, 1, 64, 64] }],
    ["gemma2", "of a model without head", /^model\./, {}],
    ["gpt_neox", "with masks", /^$/, { "gpt_neox.layers.0.attention.masked_bias": [] }],
  ] as const)("%s %s", async (name, _, prefix, more) => {
    using plain = await loadArchitecture(name);
    using renamed = await loadRenamed(name, (tensor) => tensor.replace(prefix, ""), more);
    expect(values(renamed)).toEqual(values(plain));
    expect(renamed.leftOut).toBeUndefined();
  });

  it.each([
    ["model.language_model.", /^language_model\.model\./],
    ["language_model.model.", /^$/],
  ])("gemma3 with %s", async (prefix, from) => {
    using plain = await loadArchitecture("gemma3");
    using renamed = await loadRenamed("gemma3", (tensor) => tensor.replace(from, prefix));
    expect(values(renamed)).toEqual(values(plain));
  });

  it("the vision part of gemma3 is left out, and that is said", async () => {
    using model = await loadArchitecture("gemma3");
    expect(model.leftOut).toMatch(
      /^\d+ tensors of the vision part are left out: only the text part is loaded, trained and saved$/,
    );
    expect([...model.namedParameters()].some(([name]) => /vision|multi_modal/.test(name))).toBe(false);
    using text = await loadArchitecture("gemma3_text");
    expect(text.leftOut).toBeUndefined();
  });

  it("what belongs to no part is refused", async () => {
    await expect(loadRenamed("gemma3", (tensor) => tensor, { "audio_tower.weight": [2] })).rejects.toThrow(
      /= audio_tower\.weight: has 1 tensors that the architecture in config\.json has no place/,
    );
  });
});

describe("what is refused", () => {
  it.each(refusals)("%s with %j", async (name, fields, message) => {
    const before = liveTensors();
    await expect(loadArchitecture(name, fields)).rejects.toThrow(message);
    expect(liveTensors()).toBe(before);
  });

  it("a row that is longer than GPT-2's positions, and one that would become so", async () => {
    using model = await loadArchitecture("gpt2");
    const inputIds = [Array.from({ length: 65 }, (_, i) => i % 30)];
    const row = { inputIds, attentionMask: null, positions: null, labels: inputIds };
    await expect(run(model, row, [])).rejects.toThrow(
      /inputIds = 65 tokens: is a row longer than the 64 positions that the model has learned\. Cut rows to 64 tokens/,
    );
    await expect(generate(model, { inputIds: [inputIds[0]!.slice(0, 60)], maxNewTokens: 5 })).rejects.toThrow(
      /maxNewTokens = 5: with the 60 tokens of .* more than the 64 positions/,
    );
  });

  it("a folder whose config.json is of another architecture", async () => {
    await inFolder(async (path) => {
      copyArchitecture("qwen3", path);
      copyFileSync(join(architecturesFolder, "mistral", "config.json"), join(path, "config.json"));
      expect(existsSync(join(path, "model.safetensors"))).toBe(true);
      await expect(AutoModelForCausalLM.fromPretrained(path)).rejects.toThrow(
        /has 18 tensors that the architecture in config\.json has no place for/,
      );
    });
  });
});
