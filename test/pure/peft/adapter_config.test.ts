import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readJsonObject } from "../../../src/models/json_fields.js";
import { parsePythonJson, type JsonObject } from "../../../src/models/python_json.js";
import {
  adapterConfigFromJson,
  adapterConfigText,
  newAdapterConfig,
  readAdapterConfig,
} from "../../../src/peft/adapter_config.js";
import { readAdapter } from "../../../src/peft/adapter_files.js";

const fixture = join(import.meta.dirname, "../../fixtures/models/adapter");
const file = join(fixture, "adapter_config.json");
const text = readFileSync(file, "utf8");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-adapter-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("adapter_config.json", () => {
  it("of PEFT is read", () => {
    expect(readAdapterConfig(fixture)).toEqual({
      r: 2,
      loraAlpha: 5,
      loraDropout: 0,
      targetModules: ["q_proj", "v_proj"],
      excludeModules: undefined,
      layersToTransform: undefined,
      layersPattern: undefined,
      rankPattern: {},
      alphaPattern: {},
      useRslora: false,
      useDora: false,
      bias: "none",
      modulesToSave: undefined,
      initLoraWeights: true,
      baseModelNameOrPath: undefined,
      revision: undefined,
      json: readJsonObject(file),
    });
  });

  it("is written byte for byte as PEFT writes it", () => {
    expect(adapterConfigText(readAdapterConfig(fixture), file)).toBe(text);
    const config = newAdapterConfig({ r: 2, loraAlpha: 5, targetModules: ["q_proj", "v_proj"] });
    expect(adapterConfigText(config, file)).toBe(text);
  });

  it("gets PEFT's defaults for what is absent, and keeps what is not used here", () => {
    const json: JsonObject = {
      peft_type: "LORA",
      target_modules: ".*proj",
      auto_mapping: { base_model_class: "LlamaForCausalLM" },
      peft_version: "0.9.0",
      init_lora_weights: "gaussian",
      base_model_name_or_path: "org/name",
      merge_weights: false,
      runtime_config: { ephemeral_gpu_offload: false },
    };
    const config = adapterConfigFromJson(json, file);
    expect(config).toMatchObject({ r: 8, loraAlpha: 8, loraDropout: 0, targetModules: ".*proj" });
    expect(config.baseModelNameOrPath).toBe("org/name");
    const changed = adapterConfigText({ ...config, loraDropout: 0.1, loraAlpha: 2.5 }, file);
    expect(parsePythonJson(changed, file)).toMatchObject({
      ...json,
      inference_mode: true,
      lora_dropout: 0.1,
      lora_alpha: 2.5,
    });
  });

  it.each<[JsonObject, string]>([
    [{ peft_type: "IA3" }, "peft_type = IA3: is not supported. Supported is LORA."],
    [{ task_type: "SEQ_CLS" }, "task_type = SEQ_CLS: is not supported. Supported is CAUSAL_LM."],
    [{ use_dora: "yes" }, "use_dora = yes: must be true or false."],
    [{ bias: "some" }, "bias = some: is none of none, all, lora_only."],
    [{ modules_to_save: "lm_head" }, "modules_to_save = lm_head: must be a list of names."],
    [{ exclude_modules: { a: 1 } }, 'exclude_modules = {"a":1}: is no list of names.'],
    [{ rank_pattern: { q_proj: 0 } }, "rank_pattern.q_proj = 0: must be at least 1."],
    [{ rank_pattern: ["q_proj"] }, 'rank_pattern = ["q_proj"]: must be an object.'],
    [{ alpha_pattern: { q_proj: 0 } }, "alpha_pattern.q_proj = 0: must be greater than 0."],
    [
      { layers_to_transform: ["1"] },
      'layers_to_transform = ["1"]: must be an integer or a list of integers.',
    ],
    [
      { use_qalora: true },
      "use_qalora = true: this option of PEFT is not supported. Use an adapter without it.",
    ],
    [
      { trainable_token_indices: [1] },
      "trainable_token_indices = [1]: this option of PEFT is not supported.",
    ],
    [{ target_parameters: ["w"] }, 'target_parameters = ["w"]: this option of PEFT is not supported.'],
    [{ ensure_weight_tying: true }, "ensure_weight_tying = true: this option of PEFT is not supported."],
    [{ layer_replication: [[0, 2]] }, "layer_replication = [[0,2]]: this option of PEFT is not supported."],
    [{ lora_bias: true }, "lora_bias = true: this option of PEFT is not supported."],
    [{ from_the_future: "fast" }, "from_the_future = fast: this option of PEFT is not supported."],
    [{ init_lora_weights: "corda" }, "init_lora_weights = corda: is not supported: such adapters may need"],
    [{ r: 0 }, "r = 0: must be at least 1."],
    [{ r: 2.5 }, "r = 2.5: must be an integer."],
    [{ lora_alpha: 0 }, "lora_alpha = 0: must be greater than 0."],
    [{ lora_dropout: 1 }, "lora_dropout = 1: must be below 1."],
    [{ target_modules: null }, "target_modules: does not say which modules the adapter belongs to."],
    [{ target_modules: [] }, "target_modules = []: does not say which modules the adapter belongs to."],
    [{ target_modules: [1] }, "target_modules = [1]: has an item that is no text."],
  ])("is refused with %j", (change, message) => {
    const json = { ...readJsonObject(file), ...change };
    expect(() => adapterConfigFromJson(json, "F")).toThrow(`F, ${message}`);
  });

  it("is not written so that it could not be read", () => {
    const config = newAdapterConfig({ targetModules: ["q_proj"] });
    expect(() => adapterConfigText({ ...config, r: -1 }, "F")).toThrow("F, r = -1: must be at least 1.");
    expect(() => newAdapterConfig({ r: -1 })).toThrow("lora_r = -1: must be a whole number from 1 on.");
  });
});

describe("adapter folders", () => {
  const at = (name: string): string => join(folder, name);

  it("say what is wrong with them", () => {
    expect(() => readAdapter(at("nowhere"))).toThrow("does not exist");
    mkdirSync(at("empty"));
    expect(() => readAdapter(at("empty"))).toThrow(
      `adapter folder = ${at("empty")}: has no adapter_config.json.`,
    );
    writeFileSync(at("empty/config.json"), "{}");
    expect(() => readAdapter(at("empty"))).toThrow("holds a model (config.json), not an adapter");
    mkdirSync(at("half"));
    copyFileSync(file, at("half/adapter_config.json"));
    expect(() => readAdapter(at("half"))).toThrow(
      `adapter folder = ${at("half")}: has no adapter_model.safetensors. Download or save the adapter again.`,
    );
    writeFileSync(at("half/adapter_model.bin"), "");
    expect(() => readAdapter(at("half"))).toThrow("adapter_model.bin is in a format that is not read");
    writeFileSync(at("half/adapter_model.safetensors"), "");
    expect(() => readAdapter(at("half"))).toThrow("is cut short");
  });

  it("hold factors of linear layers and nothing else", () => {
    mkdirSync(at("tensors"));
    copyFileSync(file, at("tensors/adapter_config.json"));
    const complaint = (shapes: Record<string, number[]>): string => {
      let end = 0;
      const entries = Object.entries(shapes).map(([name, shape]) => {
        const begin = end;
        end += 4 * shape.reduce((a, b) => a * b, 1);
        return [name, { dtype: "F32", shape, data_offsets: [begin, end] }];
      });
      const header = JSON.stringify(Object.fromEntries(entries));
      const length = Buffer.alloc(8);
      length.writeUInt32LE(header.length);
      const content = Buffer.concat([length, Buffer.from(header), Buffer.alloc(end)]);
      writeFileSync(at("tensors/adapter_model.safetensors"), content);
      try {
        readAdapter(at("tensors"));
        return "";
      } catch (error) {
        return String(error).replaceAll(at("tensors/adapter_model.safetensors"), "FILE");
      }
    };
    const name = "base_model.model.m.lora_";
    expect(complaint({})).toContain("FILE: has no tensors.");
    expect(complaint({ [`${name}A.weight`]: [2, 3] })).toContain(
      "FILE = base_model.model.m.lora_B: is missing, and other tensors of the module's update are there.",
    );
    expect(complaint({ [`${name}A.weight`]: [3, 3], [`${name}B.weight`]: [4, 3] })).toContain(
      "FILE, tensors of m = lora_A [3, 3], lora_B [4, 3]: do not have the shapes [r, in] and [out, r] with r = 2, as adapter_config.json says.",
    );
    for (const other of ["base_model.model.lm_head.weight", `${name}magnitude_vector`, "m.lora_A.weight"])
      expect(complaint({ [other]: [2, 3] })).toContain(
        `FILE = ${other}: is no tensor that an adapter has by its adapter_config.json.`,
      );
  });
});
