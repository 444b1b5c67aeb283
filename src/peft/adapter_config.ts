/** @file adapter_config.json of LoRA adapters, as Python's PEFT writes it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { requireFolder } from "../models/config_file.js";
import { JsonFields, readJsonObject } from "../models/json_fields.js";
import { jsonFloat, stringifyPythonJson, type JsonObject, type JsonValue } from "../models/python_json.js";

export const adapterConfigFile = "adapter_config.json";

/** The settings of a LoRA adapter; names and defaults are those of PEFT's LoraConfig. */
export interface AdapterConfig {
  /** Rank of the update, at least 1. 8 by default. */
  readonly r: number;
  /** The update is scaled by `loraAlpha / r`. 8 by default. */
  readonly loraAlpha: number;
  /** Dropout of what enters A in training, in [0, 1). 0 by default. */
  readonly loraDropout: number;
  /** Names of modules or ends of their paths, or a regular expression for whole paths. */
  readonly targetModules: readonly string[] | string;
  /** Where the base model was found when the adapter was trained. */
  readonly baseModelNameOrPath: string | undefined;
  readonly revision: string | undefined;
  /** The file that this was read from; empty for a new adapter. */
  readonly json: JsonObject;
}

// The version whose fields and defaults these are; PEFT of other versions reads such files too.
const peftVersion = "0.21.0";

/** Settings for a new adapter, with PEFT's defaults for what is left out. */
export const newAdapterConfig = (
  settings: Pick<AdapterConfig, "targetModules"> & Partial<AdapterConfig>,
): AdapterConfig => ({
  r: 8,
  loraAlpha: 8,
  loraDropout: 0,
  baseModelNameOrPath: undefined,
  revision: undefined,
  json: {},
  ...settings,
});

/** Options of PEFT that are not supported, with their values in a file that does not use them. */
const unused: Readonly<Record<string, JsonValue>> = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  bias: "none",
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_bias: false,
  lora_ga_config: null,
  megatron_config: null,
  modules_to_save: null,
  monteclora_config: null,
  rank_pattern: {},
  target_parameters: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
};

/** Fields that do not change what the adapter computes. */
const harmless: Readonly<Record<string, JsonValue>> = {
  auto_mapping: null,
  inference_mode: true,
  megatron_core: "megatron.core",
  peft_version: peftVersion,
  qalora_group_size: 16,
};

const understood = [
  "base_model_name_or_path",
  "init_lora_weights",
  "lora_alpha",
  "lora_dropout",
  "peft_type",
  "r",
  "revision",
  // Only valid at run time, says PEFT, and ignores it in files.
  "runtime_config",
  "target_modules",
  "task_type",
];

/**
 * Reads `adapter_config.json` of an adapter folder.
 *
 * @throws CraftError if it is missing or broken, describes no LoRA adapter of a causal language model, or uses an
 * option that is not supported; the message names it.
 */
export function readAdapterConfig(folder: string): AdapterConfig {
  requireFolder(folder);
  const file = join(folder, adapterConfigFile);
  if (!existsSync(file))
    throw new CraftError({
      subject: "adapter folder",
      value: folder,
      reason: existsSync(join(folder, "config.json"))
        ? `holds a model (config.json), not an adapter (${adapterConfigFile})`
        : `has no ${adapterConfigFile}`,
      remedy: `Give the folder that holds ${adapterConfigFile}`,
    });
  return adapterConfigFromJson(readJsonObject(file), file);
}

/** Reads the settings from JSON; `file` is for messages. */
export function adapterConfigFromJson(json: JsonObject, file: string): AdapterConfig {
  const fields = new JsonFields(json, file);
  refuseUnsupported(fields);
  const loraDropout = fields.number("lora_dropout", 0, { min: 0 });
  if (loraDropout >= 1) throw fields.error("lora_dropout", "must be below 1");
  return {
    r: fields.integer("r", 8, { min: 1 }),
    loraAlpha: fields.number("lora_alpha", 8, { above: 0 }),
    loraDropout,
    targetModules: targetModules(fields),
    baseModelNameOrPath: fields.optionalString("base_model_name_or_path"),
    revision: fields.optionalString("revision"),
    json,
  };
}

function refuseUnsupported(fields: JsonFields): void {
  if (!fields.has("peft_type")) throw fields.error("peft_type", "is missing");
  fields.refuseUnless("peft_type", ["LORA"], "is not supported", "Supported is LORA");
  fields.refuseUnless("task_type", ["CAUSAL_LM"], "is not supported", "Supported is CAUSAL_LM");
  fields.refuseUnless(
    "init_lora_weights",
    [true, false, "gaussian", "orthogonal"],
    "is not supported: such adapters may need changed weights of the base model",
    "Supported are true, false, gaussian and orthogonal",
  );
  for (const key of fields.keys()) {
    if (understood.includes(key) || Object.hasOwn(harmless, key)) continue;
    // Of an option that is unknown here it can only be told that it is off.
    const neutral = Object.hasOwn(unused, key) ? [unused[key], [], {}] : [false, [], {}];
    fields.refuseUnless(key, neutral, "this option of PEFT is not supported", "Use an adapter without it");
  }
}

function targetModules(fields: JsonFields): readonly string[] | string {
  const key = "target_modules";
  const value = fields.json[key];
  const remedy = "It is a list of module names, or a regular expression";
  if (typeof value === "string" && value !== "") return value;
  if (!Array.isArray(value) || value.length === 0)
    throw fields.error(key, "does not say which modules the adapter belongs to", remedy);
  return value.map((item: JsonValue) => {
    if (typeof item !== "string") throw fields.error(key, "has an item that is no text", remedy);
    return item;
  });
}

/**
 * The text of `file`. Fields that are not understood here are written as they were read, and those of a new adapter
 * with PEFT's defaults.
 *
 * @throws CraftError if the config could not be read again.
 */
export function adapterConfigText(config: AdapterConfig, file: string): string {
  const json: JsonObject = {
    ...unused,
    ...harmless,
    init_lora_weights: true,
    task_type: "CAUSAL_LM",
    ...config.json,
    peft_type: "LORA",
    inference_mode: true,
    r: config.r,
    lora_alpha: config.loraAlpha,
    lora_dropout: jsonFloat(config.loraDropout),
    target_modules: config.targetModules,
    base_model_name_or_path: config.baseModelNameOrPath ?? null,
    revision: config.revision ?? null,
  };
  adapterConfigFromJson(json, file);
  return stringifyPythonJson(json);
}
