/** @file `craft merge`: a model with an adapter in its weights. */
import { CraftError } from "../errors.js";
import { pretrainedFolder } from "../hub/index.js";
import { AutoModelForCausalLM, savePretrained } from "../models/index.js";
import { LoraModel, readAdapterConfig } from "../peft/index.js";
import { dequantizeLayers } from "../quantization/index.js";
import { noteLeftOut } from "./load_model.js";
import { requireEmpty, storedOrGivenDType, tokenizerOf } from "./new_model.js";
import { optionalText, requiredText, type GivenOptions } from "./options.js";

/** Prints where the model is, with `--json` as `{"output", "dtype", "merged_layers"}`. */
export async function run(options: GivenOptions): Promise<number> {
  const output = requiredText(options, "output");
  requireEmpty(output, "--output");
  const adapter = await pretrainedFolder(requiredText(options, "adapter"), "adapter");
  const base = optionalText(options, "model") ?? baseOf(adapter);
  const dtype = await storedOrGivenDType(base, options);
  const tokenizer = await tokenizerOf(base);
  const model = await AutoModelForCausalLM.fromPretrained(base, { dtype });
  noteLeftOut(base, model);
  const lora = LoraModel.load(model, adapter);
  const layers = lora.updates.size;
  await lora.mergeAndUnload();
  dequantizeLayers(model);
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

function baseOf(adapter: string): string {
  const { baseModelNameOrPath: base } = readAdapterConfig(adapter);
  if (base !== undefined) return base;
  throw new CraftError({
    subject: "--model",
    reason: "is missing, and the adapter does not say which model it was trained on",
    remedy: "Name the model.",
  });
}
