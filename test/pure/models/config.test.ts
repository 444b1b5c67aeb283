import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  llamaConfigFromJson,
  llamaConfigToJson,
  readConfig,
  readGenerationConfig,
  requireModelType,
  writeConfig,
  writeGenerationConfig,
  type LlamaConfig,
  type RopeParameters,
} from "../../../src/models/config.js";
import {
  isJsonObject,
  parsePythonJson,
  stringifyPythonJson,
  type JsonObject,
} from "../../../src/models/python_json.js";

const fixtures = join(import.meta.dirname, "../../fixtures/models");

interface Expected extends Readonly<Record<string, unknown>> {
  readonly rope_parameters: Readonly<Record<string, number>>;
}
interface Case {
  readonly given: string;
  readonly saved: string;
  readonly expected: Expected;
}
const { cases } = JSON.parse(readFileSync(join(fixtures, "configs.json"), "utf8")) as {
  readonly cases: Readonly<Record<string, Case>>;
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-config-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function parse(text: string): JsonObject {
  const value = parsePythonJson(text, "config.json");
  if (!isJsonObject(value)) throw new Error("not an object");
  return value;
}
const llama = (json: JsonObject): LlamaConfig => llamaConfigFromJson(json, "config.json");

/** What transformers made of a config, in our terms. */
function translate({
  rope_parameters: rope,
  ...expected
}: Expected): Omit<LlamaConfig, "json" | "modelType"> {
  const activations: Record<string, string> = { silu: "silu", gelu: "gelu" };
  const names: Record<string, string> = { eos_token_id: "eosTokenIds" };
  const camel = (key: string): string =>
    names[key] ?? key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  const entries = Object.entries(expected).map(([key, value]) => [camel(key), value ?? undefined]);
  const result = Object.fromEntries(entries) as Record<string, unknown>;
  const eos = expected["eos_token_id"];
  result["eosTokenIds"] = eos === null ? [] : Array.isArray(eos) ? eos : [eos];
  result["hiddenAct"] = activations[String(expected["hidden_act"])];
  result["rope"] = translateRope(rope);
  return result as unknown as LlamaConfig;
}

function translateRope(rope: Readonly<Record<string, unknown>>): RopeParameters {
  const type = rope["rope_type"] as "default" | "linear" | "dynamic" | "llama3";
  const number = (key: string): number => Number(rope[key]);
  const theta = number("rope_theta");
  if (type === "default") return { type, theta };
  if (type !== "llama3") return { type, theta, factor: number("factor") };
  return {
    type,
    theta,
    factor: number("factor"),
    lowFreqFactor: number("low_freq_factor"),
    highFreqFactor: number("high_freq_factor"),
    originalMaxPositionEmbeddings: number("original_max_position_embeddings"),
  };
}

describe("Llama config", () => {
  it.each(Object.entries(cases))("is read as transformers reads it: %s", (_, { given, saved, expected }) => {
    for (const text of [given, saved]) {
      const { json, modelType, ...config } = llama(parse(text));
      expect(json).toEqual(parse(text));
      expect(modelType).toBe("llama");
      expect(config).toEqual(translate(expected));
    }
  });

  it.each(Object.entries(cases))("goes back to Python unharmed: %s", (_, { given, saved }) => {
    for (const text of [given, saved])
      expect(`${stringifyPythonJson(llamaConfigToJson(llama(parse(text))))}\n`).toBe(text);
  });

  it("writes what was changed in the spelling of the file", () => {
    const changed: Partial<LlamaConfig> = {
      vocabSize: 512,
      rmsNormEps: 1,
      dtype: "float32",
      eosTokenIds: [5],
      padTokenId: 7,
      hiddenAct: "gelu_tanh",
      rope: { type: "linear", theta: 5000, factor: 2 },
    };
    const text = ({ given }: Case): string =>
      stringifyPythonJson(llamaConfigToJson({ ...llama(parse(given)), ...changed }));
    expect(text(cases["llama 2"]!)).toMatchInlineSnapshot(`
      "{
        "architectures": [
          "LlamaForCausalLM"
        ],
        "eos_token_id": 5,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 64,
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "num_attention_heads": 4,
        "pad_token_id": 7,
        "pretraining_tp": 1,
        "rms_norm_eps": 1.0,
        "rope_scaling": {
          "factor": 2.0,
          "rope_type": "linear"
        },
        "rope_theta": 5000.0,
        "torch_dtype": "float32",
        "use_cache": true,
        "vocab_size": 512
      }"
    `);
    const v5 = { ...cases["llama 3.1"]!, given: cases["llama 3.1"]!.saved };
    expect(parse(text(v5))).toMatchObject({
      dtype: "float32",
      rope_parameters: parse('{"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0}'),
    });
    expect(text(v5)).not.toContain("torch_dtype");
    expect(text(v5)).not.toContain("rope_scaling");
  });

  it.each(Object.entries(cases))("reads back what was changed: %s", (_, { given, saved }) => {
    for (const text of [given, saved]) {
      const { json: _original, ...before } = llama(parse(text));
      const llama3 = { lowFreqFactor: 1, highFreqFactor: 2, originalMaxPositionEmbeddings: 17 };
      const yarnRope = { type: "yarn", theta: 7, factor: 3, betaFast: 16, betaSlow: 2 } as const;
      const ropes: RopeParameters[] = [
        { type: "default", theta: 7 },
        { type: "dynamic", theta: 7, factor: 3 },
        { type: "llama3", theta: 7, factor: 3, ...llama3 },
        { ...yarnRope, truncate: false, attentionFactor: 1.5, originalMaxPositionEmbeddings: 17 },
      ];
      for (const rope of ropes) {
        const after = {
          ...before,
          rope,
          eosTokenIds: [4, 5],
          dtype: "float64" as const,
          numKeyValueHeads: 1,
        };
        const { json: _written, ...found } = llama(llamaConfigToJson({ ...after, json: parse(text) }));
        expect(found).toEqual(after);
      }
    }
  });

  it("writes a config without a file in full, readable by transformers 4 and 5", () => {
    const { json: _, ...config } = llama({ model_type: "llama", num_hidden_layers: 2, dtype: "bfloat16" });
    const written = llamaConfigToJson({ ...config, json: {} });
    expect(stringifyPythonJson(written)).toContain('"rope_theta": 10000.0');
    expect(written).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      num_hidden_layers: 2,
      num_key_value_heads: 32,
      rope_scaling: null,
      torch_dtype: "bfloat16",
      eos_token_id: 2,
    });
    expect({ ...llama(written), json: {} }).toEqual({ ...config, json: {} });
  });

  it("knows the activations that transformers computes alike, and -1 for no padding token", () => {
    const config = llama({ hidden_act: "gelu_new", pad_token_id: -1, torch_dtype: "torch.float16" });
    expect(config).toMatchObject({ hiddenAct: "gelu_tanh", padTokenId: undefined, dtype: "float16" });
    expect(llama({ hidden_act: "swish" }).hiddenAct).toBe("silu");
  });

  it("accepts what means nothing", () => {
    const rope = {
      rope_type: "dynamic",
      factor: 2,
      original_max_position_embeddings: 128,
      partial_rotary_factor: 1,
    };
    const neutral = { partial_rotary_factor: 1.0, per_layer_config: {}, quantization_config: null };
    expect(llama({ ...neutral, max_position_embeddings: 128, rope_scaling: rope }).rope).toEqual({
      type: "dynamic",
      theta: 10_000,
      factor: 2,
    });
  });

  const yarn = { rope_type: "yarn", factor: 4.0, original_max_position_embeddings: 32 };
  const longrope = { type: "longrope", short_factor: [1], long_factor: [1] };
  it.each<[JsonObject, string]>([
    [
      { rope_scaling: { rope_type: "proportional", factor: 4 } },
      "config.json, rope_scaling.rope_type = proportional: is not supported. Supported are default, linear, dynamic, llama3, yarn, longrope.",
    ],
    [
      { rope_scaling: { ...yarn, beta_fast: 1, beta_slow: 2 } },
      "config.json, rope_scaling.beta_fast = 1: must be at least beta_slow, which is 2.",
    ],
    [
      { rope_scaling: { ...yarn, finetuned: true } },
      "config.json, rope_scaling.finetuned = true: is not a known setting of this rope_type. Known are rope_type, type, rope_theta, partial_rotary_factor, factor, beta_fast, beta_slow, truncate, attention_factor, mscale, mscale_all_dim, original_max_position_embeddings.",
    ],
    [
      { rope_scaling: longrope },
      "config.json, rope_scaling.short_factor = [1]: must have 64 numbers, half the rotated size of a head.",
    ],
    [
      { head_dim: 2, rope_scaling: { ...longrope, long_factor: [0] } },
      "config.json, rope_scaling.long_factor = [0]: must be greater than 0.",
    ],
    [
      { rope_scaling: { type: "longrope", long_factor: [1] } },
      'config.json, rope_scaling.short_factor: is missing; rope_type "longrope" needs it.',
    ],
    [
      {
        rope_parameters: {
          full_attention: { rope_type: "default" },
          sliding_attention: { rope_type: "default" },
        },
      },
      'config.json, rope_parameters.full_attention = {"rope_type":"default"}: is a rotary embedding for one kind of layers, which is not supported.',
    ],
    [
      { partial_rotary_factor: 0.5 },
      "config.json, partial_rotary_factor = 0.5: rotating a part of each head is not supported.",
    ],
    [
      { rope_parameters: { rope_type: "default", partial_rotary_factor: 0.5 } },
      "config.json, rope_parameters.partial_rotary_factor = 0.5: rotating a part of each head is not supported.",
    ],
    [
      { rope_scaling: { type: "linear" } },
      'config.json, rope_scaling.factor: is missing; rope_type "linear" needs it.',
    ],
    [
      { rope_scaling: { type: "linear", factor: 0.5 } },
      "config.json, rope_scaling.factor = 0.5: must be at least 1.",
    ],
    [
      { rope_scaling: { type: "linear", factor: "2" } },
      "config.json, rope_scaling.factor = 2: must be a number.",
    ],
    [
      { rope_scaling: { type: "default", factor: 2 } },
      'config.json, rope_scaling.factor = 2: means nothing with rope_type "default". Name the kind of scaling.',
    ],
    [
      { rope_scaling: { type: "linear", factor: 2, beta_fast: 32 } },
      "config.json, rope_scaling.beta_fast = 32: is not a known setting of this rope_type. Known are rope_type, type, rope_theta, partial_rotary_factor, factor, original_max_position_embeddings.",
    ],
    [
      { rope_scaling: { type: "dynamic", factor: 2, original_max_position_embeddings: 7 } },
      'config.json, rope_scaling.original_max_position_embeddings = 7: is not used with rope_type "dynamic". Remove it; the model\'s max_position_embeddings counts.',
    ],
    [
      { rope_scaling: { type: "llama3", factor: 2, low_freq_factor: 1 } },
      'config.json, rope_scaling.high_freq_factor: is missing; rope_type "llama3" needs it.',
    ],
    [
      { rope_scaling: { type: "llama3", factor: 2, low_freq_factor: 4, high_freq_factor: 4 } },
      "config.json, rope_scaling.high_freq_factor = 4: must be greater than low_freq_factor, which is 4.",
    ],
    [{ rope_theta: 0 }, "config.json, rope_theta = 0: must be greater than 0."],
    [{ rope_scaling: "linear" }, "config.json, rope_scaling = linear: must be an object."],
    [
      { hidden_act: "relu" },
      "config.json, hidden_act = relu: is not a supported activation. Supported are silu, swish, gelu, gelu_python, gelu_new, gelu_fast, gelu_accurate, gelu_pytorch_tanh, gelu_python_tanh.",
    ],
    [
      { torch_dtype: "float8_e4m3fn" },
      "config.json, torch_dtype = float8_e4m3fn: is not a supported dtype of weights. Supported are float32, float64, float16, bfloat16.",
    ],
    [
      { quantization_config: { quant_method: "gptq" } },
      "config.json, quantization_config.quant_method = gptq: is not supported. Use the unquantised model, or one in 4 bits by bitsandbytes.",
    ],
    [
      { quantization_config: { quant_method: "awq", bits: 4 } },
      "config.json, quantization_config.quant_method = awq: is not supported. Use the unquantised model, or one in 4 bits by bitsandbytes.",
    ],
    [
      { quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true } },
      "config.json, quantization_config.load_in_8bit = true: only weights in 4 bits are supported. Use the unquantised model, or one in 4 bits by bitsandbytes.",
    ],
    [
      { quantization_config: { load_in_4bit: true, bnb_4bit_quant_type: "int4" } },
      "config.json, quantization_config.bnb_4bit_quant_type = int4: is not a type of 4 bits. There are nf4, fp4.",
    ],
    [
      { quantization_config: { load_in_4bit: true, bnb_4bit_quant_storage: "bfloat16" } },
      "config.json, quantization_config.bnb_4bit_quant_storage = bfloat16: is not supported as storage; uint8 is. Use the unquantised model, or one in 4 bits by bitsandbytes.",
    ],
    [{ hidden_size: 0 }, "config.json, hidden_size = 0: must be at least 1."],
    [{ hidden_size: 12.5 }, "config.json, hidden_size = 12.5: must be an integer."],
    [{ vocab_size: "32000" }, "config.json, vocab_size = 32000: must be a number."],
    [
      { hidden_size: 100, num_attention_heads: 3 },
      "config.json, hidden_size = 100: is not a multiple of num_attention_heads, which is 3.",
    ],
    [
      { hidden_size: 12, num_attention_heads: 4 },
      "config.json, hidden_size = 12: divided by num_attention_heads gives 3; rotary embeddings need an even number.",
    ],
    [{ head_dim: 7 }, "config.json, head_dim = 7: is odd; rotary embeddings need an even number."],
    [
      { num_key_value_heads: 5 },
      "config.json, num_key_value_heads = 5: does not divide num_attention_heads, which is 32.",
    ],
    [{ tie_word_embeddings: "yes" }, "config.json, tie_word_embeddings = yes: must be true or false."],
    [{ attention_dropout: 1 }, "config.json, attention_dropout = 1: must be below 1."],
    [
      { eos_token_id: [1, "2"] },
      'config.json, eos_token_id = [1,"2"]: must be an integer or a list of integers.',
    ],
    [{ model_type: "gemma" }, "config.json, model_type = gemma: is not llama."],
  ])("refuses %j", (json, message) => {
    expect(() => llama(json)).toThrow(expect.objectContaining({ name: "CraftError", message }));
  });
});

describe("model folders", () => {
  it("are read and written back byte for byte", () => {
    for (const name of ["config.json", "generation_config.json"])
      copyFileSync(join(fixtures, "single", name), join(folder, name));
    const config = readConfig(folder);
    expect(config).toMatchObject({ modelType: "llama", file: join(folder, "config.json") });
    expect(llamaConfigFromJson(config.json, config.file)).toMatchObject({
      vocabSize: 16,
      eosTokenIds: [2, 3],
    });
    const generation = readGenerationConfig(folder)!;
    expect(generation).toMatchObject({ eosTokenIds: [2, 3], bosTokenId: 1, temperature: undefined });
    const target = join(folder, "copy");
    mkdirSync(target);
    writeConfig(target, config.json);
    writeGenerationConfig(target, generation.json);
    for (const name of ["config.json", "generation_config.json"])
      expect(readFileSync(join(target, name))).toEqual(readFileSync(join(fixtures, "single", name)));
  });

  it("say what is wrong with them", () => {
    const at = (name: string): string => join(folder, name);
    expect(() => readConfig(at("nowhere"))).toThrow(
      `model folder = ${at("nowhere")}: does not exist. Give the folder that holds config.json and the weights.`,
    );
    expect(() => readConfig("craft-tests/no-such-model")).toThrow(
      "model folder = craft-tests/no-such-model: does not exist. If this is a name on the Hugging Face Hub, download it first: hf download craft-tests/no-such-model --local-dir DIR",
    );
    writeFileSync(at("file"), "");
    expect(() => readConfig(at("file"))).toThrow("is not a folder");
    mkdirSync(at("empty"));
    expect(() => readConfig(at("empty"))).toThrow(`model folder = ${at("empty")}: has no config.json.`);
    expect(() => readConfig(join(fixtures, "adapter"))).toThrow(
      "holds an adapter (adapter_config.json), not a model (config.json). Give the folder of its base model as the model, and this one as the adapter.",
    );
    const config = (text: string): (() => unknown) => {
      writeFileSync(at("empty/config.json"), text);
      return () => readConfig(at("empty"));
    };
    expect(config('{"model_type": "lla')).toThrow(`${at("empty/config.json")}: is not valid JSON (`);
    expect(config("[]")).toThrow(`${at("empty/config.json")}: must hold a JSON object.`);
    expect(config('{"hidden_size": 4}')).toThrow(`${at("empty/config.json")}, model_type: is missing.`);
    expect(config('\ufeff{"model_type": "mamba"}')()).toMatchObject({ modelType: "mamba" });
    expect(() => requireModelType(readConfig(at("empty")), ["llama", "mistral"])).toThrow(
      `${at("empty/config.json")}, model_type = mamba: is not a supported architecture. Supported are llama, mistral.`,
    );
    expect(readGenerationConfig(at("empty"))).toBeUndefined();
    writeFileSync(at("empty/generation_config.json"), '{"eos_token_id": 2, "temperature": -1, "top_k": 50}');
    expect(() => readGenerationConfig(at("empty"))).toThrow("temperature = -1: must be at least 0.");
  });
});
