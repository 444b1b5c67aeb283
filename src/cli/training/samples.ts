/** @file Rows as they are trained on, for dry runs. */
import { preferencePreparer, type PreferenceRowOptions } from "../../data/preference_rows.js";
import { PreparationNotes } from "../../data/prepared.js";
import { sftPreparer, type SftRowOptions } from "../../data/sft_rows.js";
import { ignoredLabel } from "../../data/tokens.js";
import type { Tokenizer } from "../../text/index.js";
import { promptOf } from "../../trainers/rollouts/prompts.js";
import type { SampleRow } from "./recipe.js";

/** A row of tokens with labels, in stretches that are predicted or not. */
export function labelledSample(
  row: object,
  where: string,
  tokenizer: Tokenizer,
  options: SftRowOptions,
): SampleRow | undefined {
  const prepared = sftPreparer(tokenizer, options)(row, where, new PreparationNotes(options.onBadRow));
  if (prepared === undefined) return undefined;
  const parts: { name: string; ids: number[]; trained: boolean }[] = [];
  prepared.input_ids.forEach((id, place) => {
    const trained = prepared.labels[place] !== ignoredLabel;
    const last = parts.at(-1);
    if (last?.trained === trained) last.ids.push(id);
    else parts.push({ name: trained ? "predicted" : "given", ids: [id], trained });
  });
  return { where, parts };
}

/** A pair with its prompt. @param scored whether whole texts are scored, and nothing is predicted */
export function pairSample(
  row: object,
  where: string,
  tokenizer: Tokenizer,
  options: PreferenceRowOptions,
  scored = false,
): SampleRow | undefined {
  const prepared = preferencePreparer(tokenizer, options)(row, where, new PreparationNotes(options.onBadRow));
  if (prepared === undefined) return undefined;
  const { prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected } = prepared;
  const part = (name: string, ids: Int32Array, trained: boolean) => ({ name, ids: [...ids], trained });
  return {
    where,
    parts: [
      part(scored ? "shared beginning" : "prompt", prompt, false),
      part("chosen", chosen, !scored),
      part("rejected", rejected, !scored),
    ],
  };
}

/** A prompt, whose answers are still to be made. */
export function promptSample(row: object, where: string, tokenizer: Tokenizer): SampleRow {
  const { promptIds } = promptOf(row, where, { tokenizer, chatTemplateKwargs: undefined });
  return { where, parts: [{ name: "prompt", ids: promptIds, trained: false }] };
}
