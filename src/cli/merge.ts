/** @file `craft merge`: a model with an adapter in its weights. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { pretrainedFolder } from "../hub/index.js";
import { AutoModelForCausalLM, readConfig, savePretrained } from "../models/index.js";
import { readConfigDType } from "../models/config_file.js";
import { JsonFields } from "../models/json_fields.js";
import { LoraModel, readAdapterConfig } from "../peft/index.js";
import { AutoTokenizer, type Tokenizer } from "../text/index.js";
import type { DType } from "../torch/dtype.js";
import { noteLeftOut } from "./load_model.js";
import { dtypeOption, optionalText, requiredText, type GivenOptions } from "./options.js";

/** Prints where the model is, with `--json` as `{"output", "dtype", "merged_layers"}`. */
export async function run(options: GivenOptions): Promise<number> {
  const output = requiredText(options, "output");
  requireEmpty(output);
  const adapter = await pretrainedFolder(requiredText(options, "adapter"), "adapter");
  const base = optionalText(options, "model") ?? baseOf(adapter);
  const given = optionalText(options, "dtype") ?? "stored";
  const dtype = given === "stored" ? await storedDType(base) : dtypeOption(options);
  const tokenizer = await tokenizerOf(base);
  const model = await AutoModelForCausalLM.fromPretrained(base, { dtype });
  noteLeftOut(base, model);
  const lora = LoraModel.load(model, adapter);
  const layers = lora.updates.size;
  await lora.mergeAndUnload();
  savePretrained(model, output);
  await tokenizer?.save(output);
  process.stdout.write(
    options["json"] === true
      ? `${JSON.stringify({ output, dtype: model.dtype, merged_layers: layers })}\n`
      : `${output} holds the model in ${model.dtype}, with the adapter in ${layers} layers.\n`,
  );
  model.dispose();
  return 0;
}

/** What a folder held before could be a model that is worth more than the new one. */
function requireEmpty(output: string): void {
  if (!existsSync(output) || readdirSync(output).length === 0) return;
  throw new CraftError({
    subject: "--output",
    value: output,
    reason: "is not empty",
    remedy: "Name a new folder.",
  });
}

/** A folder of weights alone can be merged into as well. */
async function tokenizerOf(base: string): Promise<Tokenizer | undefined> {
  if (!existsSync(base) || existsSync(join(base, "tokenizer.json")))
    return AutoTokenizer.fromPretrained(base);
  process.stderr.write(`note: ${base} has no tokenizer.json, so that the merged model has none\n`);
  return undefined;
}

function baseOf(adapter: string): string {
  const { baseModelNameOrPath: base } = readAdapterConfig(adapter);
  if (base !== undefined) return base;
  throw new CraftError({
    subject: "--model",
    reason: "is missing, and the adapter does not say which model it was trained on",
    remedy: "Name the model.",
  });
}

/** The dtype of the base model's weights by its config.json; float32 where that says nothing. */
async function storedDType(base: string): Promise<DType> {
  const { json, file } = readConfig(await pretrainedFolder(base, "config"));
  return readConfigDType(new JsonFields(json, file)) ?? "float32";
}
