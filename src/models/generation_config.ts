/** @file The generation_config.json beside a model. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "./atomic_file.js";
import { JsonFields, readJsonObject } from "./json_fields.js";
import { stringifyPythonJson, type JsonObject } from "./python_json.js";

/** How a model's makers want it sampled. Absent means that the file does not say. */
export interface GenerationConfig {
  /** Each of these ends a text; empty if the file names none. */
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
  readonly padTokenId: number | undefined;
  readonly doSample: boolean | undefined;
  readonly temperature: number | undefined;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly maxLength: number | undefined;
  readonly maxNewTokens: number | undefined;
  readonly repetitionPenalty: number | undefined;
  /** The whole file, to be written again with the model. */
  readonly json: JsonObject;
}

/** Reads `generation_config.json`, if the folder has one. */
export function readGenerationConfig(folder: string): GenerationConfig | undefined {
  const file = join(folder, "generation_config.json");
  if (!existsSync(file)) return undefined;
  const json = readJsonObject(file);
  const fields = new JsonFields(json, file);
  return {
    eosTokenIds: fields.integers("eos_token_id", { min: 0 }),
    bosTokenId: fields.optionalInteger("bos_token_id", { min: 0 }),
    padTokenId: fields.optionalInteger("pad_token_id", { min: 0 }),
    doSample: fields.has("do_sample") ? fields.boolean("do_sample", false) : undefined,
    temperature: fields.optionalNumber("temperature", { min: 0 }),
    topK: fields.optionalInteger("top_k", { min: 0 }),
    topP: fields.optionalNumber("top_p", { min: 0, max: 1 }),
    maxLength: fields.optionalInteger("max_length", { min: 0 }),
    maxNewTokens: fields.optionalInteger("max_new_tokens", { min: 1 }),
    repetitionPenalty: fields.optionalNumber("repetition_penalty", { above: 0 }),
    json,
  };
}

/** Writes `generation_config.json` as transformers does. */
export function writeGenerationConfig(folder: string, json: JsonObject): void {
  writeFileAtomically(join(folder, "generation_config.json"), `${stringifyPythonJson(json)}\n`);
}
