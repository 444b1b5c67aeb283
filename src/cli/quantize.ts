/** @file `craft quantize`: a model in 4 bits, as transformers and bitsandbytes read it. */
import { CraftError } from "../errors.js";
import { AutoModelForCausalLM, savePretrained } from "../models/index.js";
import { fourBitLayers } from "../quantization/index.js";
import { size } from "./inspect/text.js";
import { noteLeftOut } from "./load_model.js";
import { requireEmpty, storedOrGivenDType, tokenizerOf } from "./new_model.js";
import { numberOption, type GivenOptions } from "./options.js";
import { quantizationFlags } from "./quantization_options.js";

/**
 * Prints where the model is, with `--json` as `{"output", "quant_type", "layers", "bytes", "dtype"}`: bytes of the
 * weights, and dtype of what is not in 4 bits.
 */
export async function run(options: GivenOptions): Promise<number> {
  const [model, output] = placesOf(options);
  requireEmpty(output, "OUTPUT");
  const quantization = quantizationFlags(options, true);
  const maxShardBytes = numberOption(options, "maxShardSize", 5e9, 1);
  const dtype = await storedOrGivenDType(model, options);
  const tokenizer = await tokenizerOf(model);
  using quantised = await AutoModelForCausalLM.fromPretrained(model, { dtype, quantization });
  noteLeftOut(model, quantised);
  const layers = [...fourBitLayers(quantised)];
  if (layers.length === 0)
    throw new CraftError({
      subject: "--llm-int8-skip-modules",
      value: options["llmInt8SkipModules"],
      reason: "leaves no layer to be put into 4 bits",
      remedy: "Skip fewer.",
    });
  savePretrained(quantised, output, { maxShardBytes });
  await tokenizer?.save(output);
  const type = quantization?.bnb4bitQuantType ?? "nf4";
  const bytes = quantised.parameters().reduce((total, { value }) => total + value.byteLength, 0);
  process.stdout.write(
    options["json"] === true
      ? `${JSON.stringify({ output, quant_type: type, layers: layers.length, bytes, dtype: quantised.dtype })}\n`
      : `${output} holds the model in ${size(bytes)}: ${layers.length} layers in ${type}, the rest in ${quantised.dtype}.\n`,
  );
  return 0;
}

function placesOf(options: GivenOptions): readonly [string, string] {
  const [model, output, ...more] = options["rest"] as readonly string[];
  if (model === undefined || output === undefined || more.length > 0)
    throw new CraftError({ subject: "craft quantize", reason: "takes a MODEL and an OUTPUT folder" });
  return [model, output];
}
