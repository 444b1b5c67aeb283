/** @file The config.json of a model folder. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { dtypes, isFloating, type DType } from "../torch/dtype.js";
import { writeFileAtomically } from "./atomic_file.js";
import { JsonFields, readJsonObject } from "./json_fields.js";
import { stringifyPythonJson, type JsonObject } from "./python_json.js";

/** A config.json as it is, with the field that says which architecture it describes. */
export interface ModelConfig {
  /** Path of the file, for messages. */
  readonly file: string;
  readonly modelType: string;
  readonly json: JsonObject;
}

/**
 * Reads `config.json` of a model folder.
 *
 * @throws CraftError if the folder or the file is missing, or the file is not a JSON object with a `model_type`.
 */
export function readConfig(folder: string): ModelConfig {
  const file = join(folder, "config.json");
  requireFolder(folder);
  if (!existsSync(file)) throw noConfig(folder);
  const json = readJsonObject(file);
  const fields = new JsonFields(json, file);
  const modelType = fields.optionalString("model_type");
  if (modelType === undefined)
    throw fields.error("model_type", "is missing", "Use a model folder as transformers saves it");
  return { file, modelType, json };
}

/** Refuses a model type that is not among those supported. */
export function requireModelType(config: ModelConfig, supported: readonly string[]): void {
  if (supported.includes(config.modelType)) return;
  throw new CraftError({
    subject: `${config.file}, model_type`,
    value: config.modelType,
    reason: "is not a supported architecture",
    remedy: `Supported are ${supported.join(", ")}`,
  });
}

/** Writes `config.json` as transformers does: keys in order, two spaces. */
export function writeConfig(folder: string, json: JsonObject): void {
  writeFileAtomically(join(folder, "config.json"), `${stringifyPythonJson(json)}\n`);
}

/** The dtype of the weights: `dtype` (transformers 5), else `torch_dtype` (4). */
export function readConfigDType(fields: JsonFields): DType | undefined {
  const key = fields.has("dtype") ? "dtype" : "torch_dtype";
  const name = fields.optionalString(key)?.replace(/^torch\./, "");
  if (name === undefined) return undefined;
  const accepted = dtypes.filter(isFloating);
  const dtype = accepted.find((candidate) => candidate === name);
  if (dtype === undefined)
    throw fields.error(key, "is not a supported dtype of weights", `Supported are ${accepted.join(", ")}`);
  return dtype;
}

/** Refuses a path that is no folder, with what a model name of the Hugging Face Hub would need. */
export function requireFolder(folder: string): void {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (stats?.isDirectory()) return;
  throw new CraftError({
    subject: "model folder",
    value: folder,
    reason: stats === undefined ? "does not exist" : "is not a folder",
    remedy:
      stats === undefined && /^[\w.-]+\/[\w.-]+$/.test(folder)
        ? `If this is a name on the Hugging Face Hub, download it first: hf download ${folder} --local-dir DIR`
        : "Give the folder that holds config.json and the weights",
  });
}

function noConfig(folder: string): CraftError {
  const adapter = existsSync(join(folder, "adapter_config.json"));
  return new CraftError({
    subject: "model folder",
    value: folder,
    reason: adapter
      ? "holds an adapter (adapter_config.json), not a model (config.json)"
      : "has no config.json",
    remedy: adapter
      ? "Give the folder of its base model as the model, and this one as the adapter"
      : "Give the folder that holds config.json and the weights",
  });
}
