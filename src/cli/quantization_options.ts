/** @file The options of run files and commands that put a model into 4 bits, with the names of TRL and transformers. */
import { z } from "zod";
import { CraftError } from "../errors.js";
import type { QuantizationOptions } from "../models/index.js";
import { fourBitTypes, type FourBitType } from "../quantization/index.js";
import { dtypes, parseDType, type DType } from "../torch/dtype.js";
import { optionName } from "../training/arguments.js";
import { choiceOption, flag, optionalText, optionalTexts, type GivenOptions } from "./options.js";

const name = z.string().min(1);

/** Fields of a run file. */
export const quantizationFields = {
  loadIn4bit: z.boolean().optional(),
  bnb4bitQuantType: z.enum(fourBitTypes).optional(),
  /** TRL's name of the next one. */
  useBnbNestedQuant: z.boolean().optional(),
  bnb4bitUseDoubleQuant: z.boolean().optional(),
  bnb4bitComputeDtype: z.enum(dtypes).optional(),
  llmInt8SkipModules: z.array(name).min(1).optional(),
};

export interface QuantizationFields {
  readonly loadIn4bit?: boolean | undefined;
  readonly bnb4bitQuantType?: FourBitType | undefined;
  readonly useBnbNestedQuant?: boolean | undefined;
  readonly bnb4bitUseDoubleQuant?: boolean | undefined;
  readonly bnb4bitComputeDtype?: DType | undefined;
  readonly llmInt8SkipModules?: readonly string[] | undefined;
}

/**
 * How the options want layers in 4 bits, NF4 by default as in TRL; undefined where they want none.
 *
 * @param called what an option is called where it was given
 * @throws CraftError for options that have no effect without `load_in_4bit`, or contradict each other.
 */
export function quantizationOptions(
  given: QuantizationFields,
  called: (field: string) => string = optionName,
): QuantizationOptions | undefined {
  const { useBnbNestedQuant: nested, bnb4bitUseDoubleQuant: double } = given;
  if (given.loadIn4bit !== true) {
    const stray = Object.entries(given).find(([key, value]) => key !== "loadIn4bit" && value !== undefined);
    if (stray === undefined) return undefined;
    throw new CraftError({
      subject: called(stray[0]),
      value: stray[1],
      reason: `has no effect without ${called("loadIn4bit")}`,
      remedy: `Give ${called("loadIn4bit")} as well, or leave it out.`,
    });
  }
  if (nested !== undefined && double !== undefined && nested !== double)
    throw new CraftError({
      subject: called("useBnbNestedQuant"),
      value: nested,
      reason: `contradicts ${called("bnb4bitUseDoubleQuant")}, which is ${double}`,
      remedy: "They mean the same: keep one.",
    });
  return {
    loadIn4bit: true,
    bnb4bitQuantType: given.bnb4bitQuantType ?? "nf4",
    bnb4bitUseDoubleQuant: double ?? nested,
    bnb4bitComputeDtype: given.bnb4bitComputeDtype,
    llmInt8SkipModules: given.llmInt8SkipModules,
  };
}

/** The fields of a run file among others. */
export function quantizationOfRun(data: QuantizationFields): QuantizationOptions | undefined {
  const { loadIn4bit, bnb4bitQuantType, useBnbNestedQuant } = data;
  const { bnb4bitUseDoubleQuant, bnb4bitComputeDtype, llmInt8SkipModules } = data;
  return quantizationOptions({
    loadIn4bit,
    bnb4bitQuantType,
    useBnbNestedQuant,
    bnb4bitUseDoubleQuant,
    bnb4bitComputeDtype,
    llmInt8SkipModules,
  });
}

/** The flags of a command, which main.ts declares. @param always whether layers are put into 4 bits without being asked */
export function quantizationFlags(options: GivenOptions, always = false): QuantizationOptions | undefined {
  const on = (name: string): true | undefined => (options[name] === true ? true : undefined);
  const compute = optionalText(options, "bnb4bitComputeDtype");
  return quantizationOptions(
    {
      loadIn4bit: always || on("loadIn4bit"),
      bnb4bitQuantType: choiceOption(options, "bnb4bitQuantType", fourBitTypes),
      bnb4bitUseDoubleQuant: on("bnb4bitUseDoubleQuant"),
      bnb4bitComputeDtype:
        compute === undefined ? undefined : parseDType(compute, flag("bnb4bitComputeDtype")),
      llmInt8SkipModules: optionalTexts(options, "llmInt8SkipModules"),
    },
    flag,
  );
}
