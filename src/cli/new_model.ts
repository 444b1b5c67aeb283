/** @file What commands need that make a model folder of another one. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { pretrainedFolder } from "../hub/index.js";
import { readConfig } from "../models/index.js";
import { readConfigDType } from "../models/config_file.js";
import { JsonFields } from "../models/json_fields.js";
import { AutoTokenizer, type Tokenizer } from "../text/index.js";
import type { DType } from "../torch/dtype.js";
import { dtypeOption, optionalText, type GivenOptions } from "./options.js";

/** `--dtype`, where `stored` (default) is the dtype of the model's weights by its config.json, float32 if that says nothing. */
export async function storedOrGivenDType(model: string, options: GivenOptions): Promise<DType | "auto"> {
  const given = optionalText(options, "dtype") ?? "stored";
  if (given !== "stored") return dtypeOption(options);
  const { json, file } = readConfig(await pretrainedFolder(model, "config"));
  return readConfigDType(new JsonFields(json, file)) ?? "float32";
}

/** What a folder held before could be a model that is worth more than the new one. */
export function requireEmpty(output: string, subject: string): void {
  if (!existsSync(output) || readdirSync(output).length === 0) return;
  throw new CraftError({
    subject,
    value: output,
    reason: "is not empty",
    remedy: "Name a new folder.",
  });
}

/** The tokenizer of a model. A folder of weights alone will do as well. */
export async function tokenizerOf(base: string): Promise<Tokenizer | undefined> {
  if (!existsSync(base) || existsSync(join(base, "tokenizer.json")))
    return AutoTokenizer.fromPretrained(base);
  process.stderr.write(`note: ${base} has no tokenizer.json, so that the new model has none\n`);
  return undefined;
}
