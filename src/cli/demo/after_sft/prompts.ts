/** @file What GRPO and PPO complete. */
import type { Tokenizer } from "../../../text/index.js";
import type { CompilerMessage } from "../messages.js";
import type { TaskFormat } from "../task.js";
import { literalsOf } from "./literals.js";

export interface PromptRow {
  readonly prompt: string;
  /** The English message, which the reward reads. */
  readonly source: string;
}

/** Longer prompts are left out, and completions are cut off, so that a step takes about a second. */
export const longestPrompt = 40;
export const mostNewTokens = 48;

/** Prompts whose messages have placeholders or quoted names, which is what can be rewarded. */
export function promptsOf(
  messages: readonly CompilerMessage[],
  format: TaskFormat,
  tokenizer: Tokenizer,
): PromptRow[] {
  return messages
    .filter(({ text }) => literalsOf(text.en).length > 0)
    .map((message) => ({ prompt: format.prompt(message), source: message.text.en }))
    .filter(({ prompt }) => tokenizer.encode(prompt).length <= longestPrompt);
}
