/** @file What the command line asks of a demo that goes on from SFT. */
import { resolve } from "node:path";
import { requireOneOf } from "../../../data/options.js";
import { CraftError } from "../../../errors.js";
import { flag, integerOption, requiredText, type GivenOptions } from "../../options.js";
import { parseTargetLanguage, type TargetLanguage } from "../messages.js";
import { methodFacts, methods, type Method } from "./methods.js";

export interface AfterSftWishes {
  readonly method: Method;
  readonly to: TargetLanguage;
  /** Of SFT, which all go on from. */
  readonly sftSteps: number;
  /** Of the method. */
  readonly steps: number;
  readonly seed: number;
  readonly report: string;
}

/** @throws CraftError for the first option at fault, and for those of the demo without a method. */
export function readAfterSftWishes(options: GivenOptions): AfterSftWishes {
  const method = requireOneOf("craft demo", requiredText(options, "method"), methods);
  for (const name of ["model", "preset", "markdown"])
    if (options[name] !== undefined) throw notHere(name, method);
  if (requiredText(options, "strategy") !== "paired_dataset") throw notHere("strategy", method);
  return {
    method,
    to: parseTargetLanguage(requiredText(options, "to")),
    sftSteps: integerOption(options, "sftSteps", 400, 1),
    steps: integerOption(options, "steps", methodFacts[method].steps, 1),
    seed: integerOption(options, "seed", 42, 0),
    report: resolve(requiredText(options, "report")),
  };
}

const notHere = (name: string, method: Method): CraftError =>
  new CraftError({
    subject: flag(name),
    reason: `is an option of the demo without ${method}`,
    remedy: "Leave one of both out.",
  });
