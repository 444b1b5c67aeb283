/** @file What generation takes, and the checks of it. */
import { refuseUnknown } from "../data/options.js";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";

export interface GenerateOptions {
  /** Token ids of the prompts, one row each; rows may differ in length. */
  readonly inputIds: readonly (readonly number[])[];
  /** Most tokens to add to each row. With its prompt a row must fit the model's `maxLength`. */
  readonly maxNewTokens: number;
  /** 0 (default) takes the likeliest token; t > 0 draws from softmax(logits / t). */
  readonly temperature?: number | undefined;
  /** A row ends with the first of these that it produces. Default: those of generation_config.json, else config.json. */
  readonly eosTokenIds?: readonly number[] | undefined;
  /** Fills up shorter prompts on the left, where nothing looks at it. Default 0. */
  readonly padTokenId?: number | undefined;
  /** Of sampling: a token is a function of seed, row and place in the row. Default 42. */
  readonly seed?: number | undefined;
  /** Rows that are continued at the same time; the longest prompts come first. Default 64. */
  readonly batchSize?: number | undefined;
  /** Called with each token as soon as it is known. */
  readonly onToken?: ((token: GeneratedToken) => void) | undefined;
}

export interface GeneratedToken {
  /** Which of `inputIds`. */
  readonly row: number;
  /** Its place in the continuation, from 0. */
  readonly index: number;
  readonly token: number;
}

/** `eos`: an end-of-sequence token came; `length`: `maxNewTokens` were made without one. */
export type StopReason = "eos" | "length";

/** The checked options with their defaults. */
export type GenerateSettings = {
  readonly [K in keyof GenerateOptions]-?: Exclude<GenerateOptions[K], undefined>;
};

const accepted = [
  "inputIds",
  "maxNewTokens",
  "temperature",
  "eosTokenIds",
  "padTokenId",
  "seed",
  "batchSize",
  "onToken",
] as const satisfies readonly (keyof GenerateOptions)[];

/** Fills in the defaults. @throws CraftError for a value out of range. */
export function checkOptions(model: CausalLM, options: GenerateOptions): GenerateSettings {
  refuseUnknown("generate", options, accepted);
  const { vocabSize } = model.shape;
  const settings = {
    inputIds: options.inputIds,
    maxNewTokens: integer("maxNewTokens", options.maxNewTokens, 1),
    temperature: options.temperature ?? 0,
    eosTokenIds: options.eosTokenIds ?? defaultEos(model),
    padTokenId: options.padTokenId ?? 0,
    seed: integer("seed", options.seed ?? 42, 0),
    batchSize: integer("batchSize", options.batchSize ?? 64, 1),
    onToken: options.onToken ?? (() => undefined),
  };
  const { temperature } = settings;
  if (!(temperature >= 0 && temperature < Infinity))
    throw new CraftError({
      subject: "temperature",
      value: temperature,
      reason: "must be a number from 0 on",
      remedy: "0 always takes the likeliest token.",
    });
  settings.eosTokenIds.forEach((id, i) => requireToken(`eosTokenIds[${i}]`, id, vocabSize));
  requireToken("padTokenId", settings.padTokenId, vocabSize);
  settings.inputIds.forEach((row, i) => checkRow(model, row, i, settings.maxNewTokens));
  return settings;
}

function checkRow(model: CausalLM, row: readonly number[], index: number, maxNewTokens: number): void {
  const subject = `inputIds[${index}]`;
  if (row.length === 0)
    throw new CraftError({
      subject,
      reason: "has no token to go on from",
      remedy: "Begin with the tokenizer's BOS token, or leave the row out.",
    });
  row.forEach((id, i) => requireToken(`${subject}[${i}]`, id, model.shape.vocabSize));
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

function requireToken(subject: string, id: number, vocabSize: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
  throw new CraftError({
    subject,
    value: id,
    reason: `is no token of the model, whose ids are 0 to ${vocabSize - 1}`,
    remedy: "Use the tokenizer that belongs to the model.",
  });
}

function integer(subject: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new CraftError({ subject, value, reason: `must be an integer from ${least} on` });
}

/** As transformers: what generation_config.json says, and only without that file what config.json says. */
const defaultEos = ({ generationConfig, eosTokenIds }: CausalLM): readonly number[] =>
  generationConfig === undefined ? eosTokenIds : generationConfig.eosTokenIds;
