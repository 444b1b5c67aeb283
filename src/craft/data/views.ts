/** @file The two views of an SFT row that is its own pair. */
import { requireOneOf } from "../../data/options.js";
import { ignoredLabel, integerColumn, missingColumn, tokenColumn } from "../../data/tokens.js";
import { CraftError } from "../../errors.js";
import { assistantMaskStrategies, selfAlignViews, type CRAFTCollatorOptions } from "./collator_options.js";
import { defaultContrastiveKeys } from "./keys.js";

/** Which tokens of a row belong to what; 1 or 0 each. */
export interface ViewMasks {
  /** Tokens that are not masked out. */
  readonly all: Int32Array;
  /** Those before the first that the assistant said. */
  readonly prompt: Int32Array;
  /** Those that the assistant said. */
  readonly assistant: Int32Array;
}

export type ViewOptions = Pick<
  CRAFTCollatorOptions,
  "assistantMaskStrategy" | "assistantMaskKey" | "selfAlignViews"
>;

/** @throws {@link CraftError} for unknown strategies and views. */
export function checkViewOptions({ assistantMaskStrategy, selfAlignViews: views }: ViewOptions): void {
  if (assistantMaskStrategy !== undefined)
    requireOneOf("assistantMaskStrategy", assistantMaskStrategy, assistantMaskStrategies);
  if (views !== undefined) requireOneOf("selfAlignViews", views, selfAlignViews);
}

/** @throws {@link CraftError} for a row without a token for one of the views that are asked for. */
export function viewMasks(row: object, where: string, options: ViewOptions): ViewMasks {
  const length = tokenColumn(row, defaultContrastiveKeys.anchorInputIds, where).length;
  const attended = integerColumn(row, defaultContrastiveKeys.anchorAttentionMask, where, { length });
  const all = Int32Array.from({ length }, (_, t) => (attended?.[t] === 0 ? 0 : 1));
  const said = assistantMask(row, length, where, options);
  const assistant = all.map((attends, t) => (attends === 1 && said(t) ? 1 : 0));
  const first = assistant.indexOf(1);
  const prompt = all.map((attends, t) => (t < first ? attends : 0));
  const { selfAlignViews: views = "prompt_response" } = options;
  if (views !== "dropout" && first === -1) {
    throw new CraftError({
      subject: where,
      reason: "no token is the assistant's, so the row has no positive side",
    });
  }
  if (views === "prompt_response" && !prompt.includes(1)) {
    throw new CraftError({
      subject: where,
      reason: "no token comes before the assistant's, so the row has no prompt to be the anchor",
      remedy: 'Give rows a prompt and labels for the completion only, or choose the views "dropout"',
    });
  }
  return { all, prompt, assistant };
}

function assistantMask(
  row: object,
  length: number,
  where: string,
  options: ViewOptions,
): (position: number) => boolean {
  const { assistantMaskStrategy: strategy = "auto", assistantMaskKey: key = "assistant_masks" } = options;
  if (strategy === "none") return () => true;
  const mask = integerColumn(row, key, where, { length });
  if (mask !== undefined) return (position) => mask[position] === 1;
  if (strategy === "provided") throw missingColumn(row, [key], where, 'assistantMaskStrategy is "provided"');
  const labels = integerColumn(row, defaultContrastiveKeys.anchorLabels, where, {
    least: ignoredLabel,
    length,
  });
  return (position) => labels === undefined || labels[position] !== ignoredLabel;
}
