/** @file Rows of prompts as tokens, with what rewards want to know of them. */
import { encodeChat } from "../../data/row_tokenizer.js";
import { prepareDataset, type Prepare, type Prepared } from "../../data/prepared.js";
import { messagesColumn, textColumn } from "../../data/sft_format.js";
import { column, missingColumn, tokenColumn } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import type { ModelShape } from "../../models/causal_lm.js";
import type { Tokenizer } from "../../text/index.js";
import type { TextOrMessages } from "../rewards/reward.js";
import { datasetOf, describeRows, requireVocabulary, type Rows } from "../rows.js";

/** A prompt, ready to be continued. */
export interface PromptRow {
  /** Undefined for rows of tokens without a tokenizer to decode them. */
  readonly prompt: TextOrMessages | undefined;
  readonly promptIds: readonly number[];
  /** The row's other columns. */
  readonly columns: Readonly<Record<string, unknown>>;
}

export interface PromptOptions {
  readonly tokenizer: Tokenizer | undefined;
  readonly shape: ModelShape;
  /** Longer prompts are cut to their last tokens. */
  readonly maxPromptLength: number | undefined;
  /** Most tokens of a completion, with the option that says so, for errors. */
  readonly maxCompletionLength: { readonly option: string; readonly value: number };
  /** Variables of the chat template; a row's own column `chat_template_kwargs` goes before. */
  readonly chatTemplateKwargs: Readonly<Record<string, unknown>> | undefined;
  readonly notice: (text: string) => void;
}

/**
 * Rows with a column `prompt`, text or messages, or `input_ids`, a prompt's tokens.
 *
 * @throws CraftError naming the row that has no prompt, none of a token, tokens that the model does not know, or one so
 * long that its completion would not fit the model's positions.
 */
export async function preparePrompts(
  rows: Rows,
  name: string,
  options: PromptOptions,
): Promise<Prepared<PromptRow>> {
  const { shape, maxPromptLength, maxCompletionLength, notice } = options;
  const prepare: Prepare<PromptRow> = (row, where, notes) => {
    const { promptIds: whole, ...rest } = promptOf(row, where, options);
    requireVocabulary(whole, "prompt", where, shape);
    const cut = maxPromptLength !== undefined && whole.length > maxPromptLength;
    const promptIds = cut ? whole.slice(-maxPromptLength) : whole;
    if (cut) notes.add("truncated", where);
    requireRoom(promptIds.length, where, maxCompletionLength, shape);
    return { promptIds, ...rest };
  };
  const prepared = await prepareDataset(datasetOf(rows, name), prepare, {
    size: ({ promptIds }) => promptIds.length,
  });
  for (const line of describeRows(prepared, shape)) notice(`${name}: ${line}`);
  return prepared;
}

/** The prompt of a row, whole. */
export function promptOf(
  row: object,
  where: string,
  options: Pick<PromptOptions, "tokenizer" | "chatTemplateKwargs">,
): PromptRow {
  const { tokenizer, chatTemplateKwargs } = options;
  if ((column(row, "prompt") ?? undefined) === undefined) {
    if ((column(row, "input_ids") ?? undefined) === undefined)
      throw missingColumn(
        row,
        ["prompt"],
        where,
        "Rows need a prompt, of text or messages, or its input_ids",
      );
    const promptIds = Array.from(tokenColumn(row, "input_ids", where));
    const prompt = tokenizer?.decode(promptIds, { skipSpecialTokens: true });
    return { prompt, promptIds, columns: without(row, "input_ids") };
  }
  if (tokenizer === undefined)
    throw new CraftError({
      subject: "tokenizer",
      reason: `is not given, and the prompt of ${where} is text`,
      remedy: "Give the tokenizer of the model, or rows of input_ids.",
    });
  const messages = messagesColumn(row, "prompt", where);
  const prompt = messages ?? textColumn(row, "prompt", where);
  const promptIds =
    typeof prompt === "string"
      ? tokenizer.encode(prompt)
      : Array.from(
          encodeChat(tokenizer, prompt, withVariables(row, chatTemplateKwargs), where, {
            addGenerationPrompt: true,
          }).ids,
        );
  if (promptIds.length === 0)
    throw new CraftError({
      subject: `${where}, column prompt`,
      reason: "has no token to go on from",
      remedy: "Leave the row out.",
    });
  return { prompt, promptIds, columns: without(row, "prompt") };
}

const without = (row: object, name: string): Record<string, unknown> =>
  Object.fromEntries(Object.entries(row).filter(([column]) => column !== name));

function withVariables(row: object, variables: Readonly<Record<string, unknown>> | undefined): object {
  if (variables === undefined) return row;
  const own = column(row, "chat_template_kwargs");
  return {
    ...row,
    chat_template_kwargs: { ...variables, ...(typeof own === "object" && own !== null ? own : {}) },
  };
}

function requireRoom(
  length: number,
  where: string,
  { option, value }: PromptOptions["maxCompletionLength"],
  { maxLength }: ModelShape,
): void {
  if (length + value <= maxLength) return;
  throw new CraftError({
    subject: `${where}, column prompt`,
    value: `${length} tokens`,
    reason: `with ${option} = ${value} that is more than the ${maxLength} positions of the model`,
    remedy: `Lower ${option}, set max_prompt_length to cut prompts, or leave the row out.`,
  });
}
