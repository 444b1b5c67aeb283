/** @file adapter_config.json of LoRA adapters, as Python's PEFT writes it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { requireFolder } from "../models/config_file.js";
import { JsonFields, readJsonObject } from "../models/json_fields.js";
import { jsonFloat, stringifyPythonJson, type JsonObject, type JsonValue } from "../models/python_json.js";
import { biasModes, loraConfig, type LoraConfig, type LoraOptions } from "./lora_config.js";

export const adapterConfigFile = "adapter_config.json";

/** A LoRA adapter's config with what stands beside it in its file. */
export interface AdapterConfig extends LoraConfig {
  /** Where the base model was found when the adapter was trained. */
  readonly baseModelNameOrPath: string | undefined;
  readonly revision: string | undefined;
  /** The file that this was read from; empty for a new adapter. */
  readonly json: JsonObject;
}

// The version whose fields and defaults these are; PEFT of other versions reads such files too.
const peftVersion = "0.21.0";

/** A config for a new adapter, with PEFT's defaults for what is left out. */
export const newAdapterConfig = (
  options: LoraOptions,
  origin: { readonly baseModelNameOrPath?: string | undefined; readonly revision?: string | undefined } = {},
): AdapterConfig => ({
  ...loraConfig(options),
  baseModelNameOrPath: origin.baseModelNameOrPath,
  revision: origin.revision,
  json: {},
});

/** Options of PEFT that are not supported, with their values in a file that does not use them. */
const unused: Readonly<Record<string, JsonValue>> = {
  alora_invocation_tokens: null,
  arrow_config: null,
  corda_config: null,
  ensure_weight_tying: false,
  kasa_config: null,
  layer_replication: null,
  loftq_config: {},
  lora_bias: false,
  lora_ga_config: null,
  megatron_config: null,
  monteclora_config: null,
  target_parameters: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_qalora: false,
  velora_config: null,
};

/** Fields that do not change what the adapter computes. */
const harmless: Readonly<Record<string, JsonValue>> = {
  auto_mapping: null,
  // Follows from the kind of the layer.
  fan_in_fan_out: false,
  inference_mode: true,
  megatron_core: "megatron.core",
  peft_version: peftVersion,
  qalora_group_size: 16,
};

const understood = [
  "alpha_pattern",
  "base_model_name_or_path",
  "bias",
  // Says how the first values were found.
  "eva_config",
  "exclude_modules",
  "init_lora_weights",
  "layers_pattern",
  "layers_to_transform",
  "lora_alpha",
  "lora_dropout",
  "modules_to_save",
  "peft_type",
  "r",
  "rank_pattern",
  "revision",
  // Only valid at run time, says PEFT, and ignores it in files.
  "runtime_config",
  "target_modules",
  "task_type",
  "use_dora",
  "use_rslora",
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

/** Reads the config from JSON; `file` is for messages. */
export function adapterConfigFromJson(json: JsonObject, file: string): AdapterConfig {
  const fields = new JsonFields(json, file);
  refuseUnsupported(fields);
  const loraDropout = fields.number("lora_dropout", 0, { min: 0 });
  if (loraDropout >= 1) throw fields.error("lora_dropout", "must be below 1");
  const targetModules = names(fields, "target_modules");
  if (targetModules === undefined)
    throw fields.error("target_modules", "does not say which modules the adapter belongs to", namesRemedy);
  const modulesToSave = names(fields, "modules_to_save");
  if (typeof modulesToSave === "string") throw fields.error("modules_to_save", "must be a list of names");
  const bias = biasModes.find((mode) => mode === (fields.optionalString("bias") ?? "none"));
  if (bias === undefined) throw fields.error("bias", `is none of ${biasModes.join(", ")}`);
  const blocks = fields.integers("layers_to_transform", { min: 0 });
  return {
    r: fields.integer("r", 8, { min: 1 }),
    loraAlpha: fields.number("lora_alpha", 8, { above: 0 }),
    loraDropout,
    targetModules,
    excludeModules: names(fields, "exclude_modules"),
    layersToTransform: Array.isArray(json["layers_to_transform"]) ? blocks : blocks[0],
    layersPattern: names(fields, "layers_pattern"),
    rankPattern: pattern(fields, "rank_pattern", (own, key) => own.optionalInteger(key, { min: 1 })),
    alphaPattern: pattern(fields, "alpha_pattern", (own, key) => own.optionalNumber(key, { above: 0 })),
    useRslora: fields.boolean("use_rslora", false),
    useDora: fields.boolean("use_dora", false),
    bias,
    modulesToSave,
    initLoraWeights: initialValues(json["init_lora_weights"]),
    baseModelNameOrPath: fields.optionalString("base_model_name_or_path"),
    revision: fields.optionalString("revision"),
    json,
  };
}

/** Initial values that PEFT does not take out of the base model's weights, and those that can be taken out here. */
const readableInits = /^(gaussian|orthogonal|eva|olora|pissa|pissa_niter_\d+)$/;

const initialValues = (value: JsonValue | undefined): boolean | string =>
  typeof value === "string" || typeof value === "boolean" ? value : true;

function refuseUnsupported(fields: JsonFields): void {
  if (!fields.has("peft_type")) throw fields.error("peft_type", "is missing");
  fields.refuseUnless("peft_type", ["LORA"], "is not supported", "Supported is LORA");
  fields.refuseUnless("task_type", ["CAUSAL_LM"], "is not supported", "Supported is CAUSAL_LM");
  const init = fields.json["init_lora_weights"] ?? true;
  if (typeof init !== "boolean" && !(typeof init === "string" && readableInits.test(init)))
    throw fields.error(
      "init_lora_weights",
      "is not supported: such adapters may need changed weights of the base model",
      "Supported are true, false, gaussian, orthogonal, eva, olora, pissa and pissa_niter_N",
    );
  for (const key of fields.keys()) {
    if (understood.includes(key) || Object.hasOwn(harmless, key)) continue;
    // Of an option that is unknown here it can only be told that it is off.
    const neutral = Object.hasOwn(unused, key) ? [unused[key], [], {}] : [false, [], {}];
    fields.refuseUnless(key, neutral, "this option of PEFT is not supported", "Use an adapter without it");
  }
}

const namesRemedy = "It is a list of module names, or a regular expression";

/** A regular expression or a list of names; undefined where there is none. */
function names(fields: JsonFields, key: string): readonly string[] | string | undefined {
  const value = fields.json[key] ?? undefined;
  if (value === undefined || (typeof value === "string" && value !== "")) return value;
  if (!Array.isArray(value) || (key === "target_modules" && value.length === 0))
    throw fields.error(
      key,
      key === "target_modules" ? "does not say which modules the adapter belongs to" : "is no list of names",
      namesRemedy,
    );
  const items = value.map((item: JsonValue) => {
    if (typeof item !== "string") throw fields.error(key, "has an item that is no text", namesRemedy);
    return item;
  });
  return items.length === 0 ? undefined : items;
}

function pattern(
  fields: JsonFields,
  key: string,
  read: (own: JsonFields, key: string) => number | undefined,
): Readonly<Record<string, number>> {
  const own = fields.object(key);
  if (own === undefined) return {};
  return Object.fromEntries(own.keys().map((name) => [name, read(own, name)!]));
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
    eva_config: null,
    task_type: "CAUSAL_LM",
    ...config.json,
    peft_type: "LORA",
    inference_mode: true,
    r: config.r,
    lora_alpha: config.loraAlpha,
    lora_dropout: jsonFloat(config.loraDropout),
    target_modules: config.targetModules ?? null,
    exclude_modules: config.excludeModules ?? null,
    layers_to_transform: config.layersToTransform ?? null,
    layers_pattern: config.layersPattern ?? null,
    rank_pattern: { ...config.rankPattern },
    alpha_pattern: { ...config.alphaPattern },
    use_rslora: config.useRslora,
    use_dora: config.useDora,
    bias: config.bias,
    modules_to_save: config.modulesToSave ?? null,
    init_lora_weights: config.initLoraWeights,
    base_model_name_or_path: config.baseModelNameOrPath ?? null,
    revision: config.revision ?? null,
  };
  adapterConfigFromJson(json, file);
  return stringifyPythonJson(json);
}
