import { pretrainedFolder } from "../hub/index.js";
import { AutoModelForCausalLM, type CausalLM } from "../models/index.js";
import { loadAdapter } from "../peft/index.js";
import { AutoTokenizer, type Tokenizer } from "../text/index.js";
import { dtypeOption, optionalText, requiredText, type GivenOptions } from "./options.js";
import { quantizationFlags } from "./quantization_options.js";

/** Tells what of a checkpoint the model does without. */
export function noteLeftOut(name: string, { leftOut }: CausalLM): void {
  if (leftOut !== undefined) process.stderr.write(`note: ${name}: ${leftOut}\n`);
}

/** The model that `--model`, `--adapter`, `--dtype` and the flags of quantisation name, and its tokenizer. */
export async function loadModel(
  options: GivenOptions,
): Promise<{ readonly model: CausalLM; readonly tokenizer: Tokenizer }> {
  const folder = requiredText(options, "model");
  const adapter = optionalText(options, "adapter");
  const dtype = dtypeOption(options);
  const quantization = quantizationFlags(options);
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const model = await AutoModelForCausalLM.fromPretrained(folder, { dtype, quantization });
  noteLeftOut(folder, model);
  tokenizer.checkFitsModel(model.shape.vocabSize);
  if (adapter !== undefined) loadAdapter(model, await pretrainedFolder(adapter, "adapter"));
  return { model, tokenizer };
}
