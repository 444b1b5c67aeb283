/** @file The messages as rows to train on. */
import { targetLanguages, type CompilerMessage } from "./messages.js";
import type { TaskFormat } from "./task.js";
import type { DemoRows } from "./train.js";

/** Prompts with translations for SFT, and for CRAFT each message paired with itself in every language. */
export function rowsOf(training: readonly CompilerMessage[], format: TaskFormat): DemoRows {
  return {
    training: training.map((m) => ({ prompt: format.prompt(m), completion: format.completion(m) })),
    pairs: training.flatMap((m) =>
      targetLanguages
        .filter((language) => m.text[language] !== m.text.en)
        .map((language) => ({ anchor: format.text(m, "en"), positive: format.text(m, language) })),
    ),
  };
}
