/** @file Which linear layers of a model are in 4 bits and how, as options and in config.json: bitsandbytes' names. */
import { CraftError } from "../errors.js";
import { fourBitTypes, type FourBitOptions, type FourBitType } from "../quantization/index.js";
import { isFloating, parseDType, type DType } from "../torch/dtype.js";
import { JsonFields } from "./json_fields.js";
import { isJsonObject, jsonFloat, type JsonObject } from "./python_json.js";

/** The options of transformers' BitsAndBytesConfig that act here, in camelCase, with its defaults. */
export interface QuantizationOptions {
  readonly loadIn4bit: boolean;
  /** `fp4` by default; `nf4` suits weights better. */
  readonly bnb4bitQuantType?: FourBitType | undefined;
  /** Whether scales are stored in 8 bits, which saves 0.4 bits a weight; false by default. */
  readonly bnb4bitUseDoubleQuant?: boolean | undefined;
  /** The dtype of products with quantised weights; the model's by default. */
  readonly bnb4bitComputeDtype?: DType | undefined;
  /** Layers that stay as they are: expressions for the beginning of their paths, or ends of them. The head always does. */
  readonly llmInt8SkipModules?: readonly string[] | undefined;
}

interface Skip {
  readonly name: string;
  readonly matches: (path: string) => boolean;
}

/** How layers are quantised that are not yet. */
export interface Quantization extends FourBitOptions {
  readonly compute: DType | undefined;
  /** Whether the layer at a path stays as it is. */
  readonly skips: (path: string) => boolean;
  /** The names by which layers stay as they are. */
  readonly skipped: readonly Skip[];
}

const known: readonly string[] = [
  "loadIn4bit",
  "bnb4bitQuantType",
  "bnb4bitUseDoubleQuant",
  "bnb4bitComputeDtype",
  "llmInt8SkipModules",
] satisfies (keyof QuantizationOptions)[];

/**
 * What the options ask for; undefined where that is nothing.
 *
 * @throws CraftError for unknown options and values.
 */
export function quantizationOf(options: QuantizationOptions | undefined): Quantization | undefined {
  if (options === undefined) return undefined;
  const stray = Object.keys(options).find((key) => !known.includes(key));
  if (stray !== undefined)
    throw new CraftError({
      subject: `quantization.${stray}`,
      reason: "is no option",
      remedy: `There are ${known.join(", ")}.`,
    });
  const others = Object.entries(options).find(([key, value]) => key !== "loadIn4bit" && value !== undefined);
  if (options.loadIn4bit === false && others !== undefined)
    throw new CraftError({
      subject: `quantization.${others[0]}`,
      value: others[1],
      reason: "has no effect with loadIn4bit: false",
      remedy: "Set loadIn4bit to true, or leave all of it out.",
    });
  const { loadIn4bit, bnb4bitUseDoubleQuant: double = false, bnb4bitComputeDtype: compute } = options;
  for (const [name, value] of Object.entries({ loadIn4bit, bnb4bitUseDoubleQuant: double }))
    if (typeof value !== "boolean")
      throw new CraftError({ subject: `quantization.${name}`, value, reason: "must be true or false" });
  if (compute !== undefined && !isFloating(parseDType(compute, "quantization.bnb4bitComputeDtype")))
    throw new CraftError({
      subject: "quantization.bnb4bitComputeDtype",
      value: compute,
      reason: "is not a dtype of floats",
    });
  const type = parseFourBitType(options.bnb4bitQuantType ?? "fp4", "quantization.bnb4bitQuantType");
  const names = skipsOf(options.llmInt8SkipModules ?? [], "quantization.llmInt8SkipModules");
  return loadIn4bit ? { type, double, compute, ...names } : undefined;
}

/** One of the types in 4 bits, checked. */
export function parseFourBitType(value: unknown, subject: string): FourBitType {
  const type = fourBitTypes.find((candidate) => candidate === value);
  if (type !== undefined) return type;
  throw new CraftError({
    subject,
    value,
    reason: "is not a type of 4 bits",
    remedy: `Use ${fourBitTypes.join(" or ")}.`,
  });
}

/** Names of layers by transformers' rule: expressions for the beginning of a path, or ends of it. */
const skipsOf = (names: readonly string[], subject: string): Pick<Quantization, "skips" | "skipped"> => {
  const skipped = names.map((name) => {
    try {
      const start = new RegExp(`^(?:${name})`);
      return { name, matches: (path: string) => start.test(path) || path.endsWith(name) };
    } catch {
      throw new CraftError({ subject, value: name, reason: "is no regular expression" });
    }
  });
  return { skipped, skips: (path) => skipped.some(({ matches }) => matches(path)) };
};

/** @throws CraftError if a name of {@link QuantizationOptions.llmInt8SkipModules} is that of no module. */
export function requireSkipped(quantization: Quantization | undefined, paths: readonly string[]): void {
  const stray = quantization?.skipped.find(({ matches }) => !paths.some(matches));
  if (stray !== undefined)
    throw new CraftError({
      subject: "quantization.llmInt8SkipModules",
      value: stray.name,
      reason: "is neither the beginning nor the end of a module's path",
      remedy: `Modules are called as ${paths
        .filter((path) => /\D$/.test(path))
        .slice(-3)
        .join(", ")}.`,
    });
}

/**
 * How config.json says that bitsandbytes stored the weights; undefined where they are not quantised. What a weight in 4 bits
 * is made of stands beside it in the file as well, and counts. The dtype of products is the model's, whatever it was when
 * the file was written.
 *
 * @throws CraftError for any other quantisation.
 */
export function storedQuantization(fields: JsonFields): Quantization | undefined {
  const config = fields.object("quantization_config");
  if (config === undefined) return undefined;
  const remedy = "Use the unquantised model, or one in 4 bits by bitsandbytes";
  const method = config.optionalString("quant_method") ?? "bitsandbytes";
  if (method !== "bitsandbytes") throw config.error("quant_method", "is not supported", remedy);
  if (config.boolean("load_in_8bit", false))
    throw config.error("load_in_8bit", "only weights in 4 bits are supported", remedy);
  if (!config.boolean("load_in_4bit", false))
    throw config.error("load_in_4bit", "only weights in 4 bits are supported", remedy);
  config.refuseUnless("bnb_4bit_quant_storage", ["uint8"], "is not supported as storage; uint8 is", remedy);
  const given = config.optionalString("bnb_4bit_quant_type") ?? "fp4";
  const type = fourBitTypes.find((candidate) => candidate === given);
  if (type === undefined)
    throw config.error(
      "bnb_4bit_quant_type",
      "is not a type of 4 bits",
      `There are ${fourBitTypes.join(", ")}`,
    );
  const names = config.optionalStrings("llm_int8_skip_modules") ?? [];
  return {
    type,
    double: config.boolean("bnb_4bit_use_double_quant", false),
    compute: undefined,
    ...skipsOf(names, `${fields.file}, quantization_config.llm_int8_skip_modules`),
  };
}

/**
 * What the options ask for of a checkpoint; undefined where that is nothing.
 *
 * @throws CraftError as {@link quantizationOf} and {@link storedQuantization} do, and for a checkpoint in 4 bits.
 */
export function newQuantization(
  name: string,
  { json, file }: { readonly json: JsonObject; readonly file: string },
  options: QuantizationOptions | undefined,
): Quantization | undefined {
  const quantization = quantizationOf(options);
  if (storedQuantization(new JsonFields(json, file)) === undefined || quantization === undefined)
    return quantization;
  throw new CraftError({
    subject: "quantization",
    reason: `${name} is stored in 4 bits already`,
    remedy: "Leave the option out, or give the model that is not.",
  });
}

/** `quantization_config` as transformers writes it. What another program wrote into it is kept. */
export function quantizationJson(
  before: JsonObject[string] | undefined,
  {
    type,
    double,
    compute,
  }: { readonly type: FourBitType; readonly double: boolean; readonly compute: DType },
  skipped: readonly string[],
): JsonObject {
  const kept = isJsonObject(before) ? before : {};
  return {
    _load_in_4bit: true,
    _load_in_8bit: false,
    bnb_4bit_compute_dtype: compute,
    bnb_4bit_quant_storage: "uint8",
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_threshold: jsonFloat(6),
    load_in_8bit: false,
    quant_method: "bitsandbytes",
    llm_int8_skip_modules: skipped.length === 0 ? null : skipped,
    ...kept,
    load_in_4bit: true,
    bnb_4bit_quant_type: type,
    bnb_4bit_use_double_quant: double,
    ...(skipped.length === 0 ? {} : { llm_int8_skip_modules: skipped }),
  };
}
