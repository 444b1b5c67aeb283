/** @file Checks of single options of generation. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";

export function integer(subject: string, value: number, least: number, most = Infinity): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Infinity ? `from ${least} on` : `from ${least} to ${most}`;
  throw new CraftError({ subject, value, reason: `must be an integer ${range}` });
}

export function number(
  subject: string,
  value: number,
  { least = -Infinity, most = Infinity, above, remedy }: NumberRule,
): number {
  const inside = value >= least && value <= most && (above === undefined || value > above);
  if (Number.isFinite(value) && inside) return value;
  const range =
    above !== undefined
      ? ` above ${above}`
      : least === -Infinity
        ? ""
        : most === Infinity
          ? ` from ${least} on`
          : ` from ${least} to ${most}`;
  throw new CraftError({
    subject,
    value,
    reason: `must be a number${range}`,
    ...(remedy !== undefined && { remedy }),
  });
}

interface NumberRule {
  readonly least?: number;
  readonly most?: number;
  /** Excluded itself. */
  readonly above?: number;
  readonly remedy?: string;
}

/** @throws CraftError for an id that the model has no token for. */
export function requireTokens(subject: string, ids: readonly number[], vocabSize: number): void {
  const at = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
  if (at < 0) return;
  throw new CraftError({
    subject: subject === "padTokenId" ? subject : `${subject}[${at}]`,
    value: ids[at],
    reason: `is no token of the model, whose ids are 0 to ${vocabSize - 1}`,
    remedy: "Use the tokenizer that belongs to the model.",
  });
}

/** @throws CraftError for a prompt that is empty, too long or holds what is no token. */
export function checkRow(model: CausalLM, row: readonly number[], index: number, maxNewTokens: number): void {
  const subject = `inputIds[${index}]`;
  if (row.length === 0)
    throw new CraftError({
      subject,
      reason: "has no token to go on from",
      remedy: "Begin with the tokenizer's BOS token, or leave the row out.",
    });
  requireTokens(subject, row, model.shape.vocabSize);
  const { maxLength } = model.shape;
  if (row.length + maxNewTokens <= maxLength) return;
  throw new CraftError({
    subject: "maxNewTokens",
    value: maxNewTokens,
    reason: `with the ${row.length} tokens of ${subject} that is more than the ${maxLength} positions of the model`,
    remedy:
      row.length < maxLength
        ? `Give at most ${maxLength - row.length}, or a shorter prompt.`
        : "Give a shorter prompt.",
  });
}

/** @throws CraftError for beams whose text would outgrow a cache, see {@link CausalLM.cacheLimits}. */
export function refuseOutgrownBeams(
  { cacheLimits }: CausalLM,
  {
    inputIds,
    maxNewTokens,
  }: { readonly inputIds: readonly (readonly number[])[]; readonly maxNewTokens: number },
): void {
  for (const [i, { length }] of inputIds.entries()) {
    const limit = cacheLimits.find((tokens) => length <= tokens && length + maxNewTokens > tokens + 1);
    if (limit === undefined) continue;
    throw new CraftError({
      subject: "maxNewTokens",
      value: maxNewTokens,
      reason: `takes the ${length} tokens of inputIds[${i}] past ${limit}, where the model's rotary embedding changes, which beam search does not follow`,
      remedy: `Give at most ${limit + 1 - length}, or numBeams: 1.`,
    });
  }
}
