import { SplitPreTokenizer } from "@huggingface/tokenizers";
import { CraftError } from "../../errors.js";
import type { Pattern } from "./config.js";

const compiled = new Map<string, RegExp>();

/**
 * A pattern of tokenizer.json, which is written for Oniguruma, as a global JavaScript expression. The
 * translation is the package's own, reached through the one class that shows its result.
 * @throws CraftError for an expression that has no counterpart
 */
export function compilePattern(pattern: Pattern): RegExp {
  if (pattern.kind === "string")
    return new RegExp(pattern.source.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"), "gu");
  const known = compiled.get(pattern.source);
  if (known !== undefined) return known;
  const found = translate(pattern.source);
  compiled.set(pattern.source, found);
  return found;
}

function translate(source: string): RegExp {
  let cause: unknown;
  try {
    const { pattern } = new SplitPreTokenizer({
      type: "Split",
      pattern: { Regex: source },
      behavior: "Isolated",
    });
    if (pattern !== null) return pattern;
  } catch (error) {
    cause = error;
  }
  throw new CraftError({
    subject: "the pattern of the tokenizer",
    value: source,
    reason: "it uses a form of regular expression that JavaScript cannot run",
    remedy: "Report it with the name of the model",
    cause,
  });
}
