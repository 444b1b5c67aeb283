/** @file The flags of generation, which several commands have; main.ts declares them. */
import { CraftError } from "../errors.js";
import type { GenerateOptions } from "../generation/index.js";
import {
  choiceOption,
  flag,
  optionalInteger,
  optionalNumber,
  optionalTexts,
  type GivenOptions,
} from "./options.js";

/** Reads them. @throws CraftError for a value that is no number, or out of range. */
export function generationOptions(options: GivenOptions): Omit<GenerateOptions, "inputIds"> {
  const early = choiceOption(options, "earlyStopping", ["true", "false", "never"]);
  return {
    maxNewTokens: optionalInteger(options, "maxNewTokens", 1),
    temperature: optionalNumber(options, "temperature", 0),
    topK: optionalInteger(options, "topK", 0),
    topP: optionalNumber(options, "topP", 0),
    minP: optionalNumber(options, "minP", 0),
    repetitionPenalty: optionalNumber(options, "repetitionPenalty", 0),
    stopStrings: optionalTexts(options, "stop"),
    numBeams: optionalInteger(options, "numBeams", 1),
    lengthPenalty: optionalNumber(options, "lengthPenalty", -Infinity),
    earlyStopping: early === undefined || early === "never" ? early : early === "true",
    seed: optionalInteger(options, "seed", 0),
    useGenerationConfig: options["generationConfig"] !== false,
  };
}

/** @throws CraftError naming the flag, for those of `names` that were given. */
export function refuseFlags(options: GivenOptions, names: readonly string[], reason: string): void {
  const name = names.find((candidate) => options[candidate] !== undefined && options[candidate] !== false);
  if (name === undefined) return;
  throw new CraftError({ subject: flag(name), value: options[name], reason });
}
