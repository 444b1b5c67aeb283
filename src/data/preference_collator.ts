/** @file Prepared preferences to a batch: tokens, and which of them are predicted from where. */
import { CraftError } from "../errors.js";
import { bucketSize } from "./buckets.js";
import { layOut, layoutCost, type LayoutOptions, type PreferenceLayout } from "./preference_layout.js";
import type { PreferenceRow } from "./preference_rows.js";

/** Tokens that are predicted. The arrays have one length, a bucket. */
export interface PredictedTokens {
  /** Places in the flattened batch that predict them. */
  readonly index: Int32Array;
  /** The tokens. */
  readonly target: Int32Array;
  /** The text that each belongs to: `i` for the chosen one of pair i, `pairs + i` for its rejected one. */
  readonly owner: Int32Array;
  /** 1 for each token, 0 for the filling. */
  readonly weight: Float32Array;
}

/** A batch of pairs. Numbers of texts are listed as all chosen ones, then all rejected ones. */
export interface PreferenceBatch extends Omit<PreferenceLayout, "places"> {
  readonly pairs: number;
  /** The answers' tokens. */
  readonly answers: PredictedTokens;
  /** The tokens of prompts before chosen answers. */
  readonly prompts: PredictedTokens;
  /** [2 pairs]: how many tokens of each answer are predicted. */
  readonly lengths: Float32Array;
  /** [2 pairs]: places of the texts' last tokens. */
  readonly last: Int32Array;
  /** [2 pairs]: the reference's log-probabilities, where all rows have them. */
  readonly references?: Float32Array;
  /** [pairs], where rows have them; 0 for those that do not. */
  readonly margins?: Float32Array;
}

export interface PreferenceCollatorOptions extends Omit<LayoutOptions, "shared"> {
  /** Whether prompts stand once for both answers: always, never, or where that costs a model of this size less. */
  readonly sharePrompts: boolean | { readonly hiddenSize: number };
}

/** Lays out prepared rows and lists what is predicted. */
export class PreferenceCollator {
  readonly #options: PreferenceCollatorOptions;

  constructor(options: PreferenceCollatorOptions) {
    this.#options = options;
  }

  /** @param rows at least one, as preparePreferences gives them */
  readonly collate = (rows: readonly PreferenceRow[]): PreferenceBatch => {
    if (rows.length === 0)
      throw new CraftError({ subject: "rows", reason: "a batch needs at least one row" });
    const { places, ...layout } = this.#layOut(rows);
    const answers: Predicted[] = [];
    const prompts: Predicted[] = [];
    const last = new Int32Array(2 * rows.length);
    rows.forEach((row, pair) => {
      const at = places[pair]!;
      const { prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected } = row;
      predicted(prompts, prompt, undefined, at.prompt, pair);
      for (const [ids, start, before, owner] of [
        [chosen, at.chosen, at.prompt, pair],
        [rejected, at.rejected, at.rejectedPrompt, rows.length + pair],
      ] as const) {
        predicted(answers, ids, prompt.length > 0 ? before + prompt.length - 1 : undefined, start, owner);
        last[owner] = start + ids.length - 1;
      }
    });
    const lengths = new Float32Array(2 * rows.length);
    for (const { owner } of answers) lengths[owner]!++;
    return {
      ...layout,
      pairs: rows.length,
      answers: listed(answers),
      prompts: listed(prompts),
      lengths,
      last,
      ...referencesOf(rows),
      ...marginsOf(rows),
    };
  };

  #layOut(rows: readonly PreferenceRow[]): PreferenceLayout {
    const { sharePrompts, ...options } = this.#options;
    const laid = (shared: boolean): PreferenceLayout => layOut(rows, { ...options, shared });
    if (typeof sharePrompts === "boolean") return laid(sharePrompts);
    const [together, apart] = [laid(true), laid(false)];
    const cost = (layout: PreferenceLayout): number => layoutCost(layout, sharePrompts.hiddenSize);
    return cost(together) <= cost(apart) ? together : apart;
  }
}

interface Predicted {
  readonly index: number;
  readonly target: number;
  readonly owner: number;
}

/** @param before the place that predicts the first token; undefined where nothing does */
function predicted(
  list: Predicted[],
  ids: Int32Array,
  before: number | undefined,
  start: number,
  owner: number,
): void {
  ids.forEach((target, i) => {
    const index = i === 0 ? before : start + i - 1;
    if (index !== undefined) list.push({ index, target, owner });
  });
}

function listed(tokens: readonly Predicted[]): PredictedTokens {
  const size = bucketSize(tokens.length);
  const lists = {
    index: new Int32Array(size),
    target: new Int32Array(size),
    owner: new Int32Array(size),
    weight: new Float32Array(size),
  };
  tokens.forEach(({ index, target, owner }, i) => {
    lists.index[i] = index;
    lists.target[i] = target;
    lists.owner[i] = owner;
    lists.weight[i] = 1;
  });
  return lists;
}

function referencesOf(rows: readonly PreferenceRow[]): { readonly references?: Float32Array } {
  const sides = [rows.map((row) => row.ref_chosen_logps), rows.map((row) => row.ref_rejected_logps)].flat();
  const known = sides.filter((value) => value !== undefined);
  return known.length === sides.length ? { references: Float32Array.from(known) } : {};
}

function marginsOf(rows: readonly PreferenceRow[]): { readonly margins?: Float32Array } {
  if (rows.every(({ margin }) => margin === undefined)) return {};
  return { margins: Float32Array.from(rows, ({ margin = 0 }) => margin) };
}
