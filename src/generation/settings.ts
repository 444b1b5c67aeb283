/** @file The checked options of generation with their defaults. */
import { refuseUnknown } from "../data/options.js";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import type { StreamTokenizer } from "../text/index.js";
import { configDefaults } from "./defaults.js";
import type { GeneratedToken, GenerateOptions } from "./options.js";
import { checkRow, integer, number, refuseOutgrownBeams, requireTokens } from "./option_rules.js";

export interface GenerateSettings {
  readonly inputIds: readonly (readonly number[])[];
  readonly maxNewTokens: number;
  /** Undefined takes the likeliest token. */
  readonly sampling: SamplingSettings | undefined;
  /** Undefined for none. */
  readonly repetitionPenalty: number | undefined;
  readonly eosTokenIds: readonly number[];
  readonly stopTokenIds: readonly number[];
  readonly stopText: { readonly strings: readonly string[]; readonly tokenizer: StreamTokenizer } | undefined;
  readonly copies: number;
  readonly logProbs: number | undefined;
  /** Undefined for 1. */
  readonly logProbsTemperature: number | undefined;
  readonly beams: BeamSettings | undefined;
  readonly padTokenId: number;
  readonly batchSize: number;
  readonly onToken: ((token: GeneratedToken) => void) | undefined;
}

export interface SamplingSettings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number;
}

export interface BeamSettings {
  readonly count: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
}

const accepted = {
  inputIds: true,
  maxNewTokens: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  eosTokenIds: true,
  stopTokenIds: true,
  stopStrings: true,
  tokenizer: true,
  numReturnSequences: true,
  logProbs: true,
  logProbsTemperature: true,
  numBeams: true,
  lengthPenalty: true,
  earlyStopping: true,
  padTokenId: true,
  seed: true,
  batchSize: true,
  useGenerationConfig: true,
  onToken: true,
} satisfies Record<keyof GenerateOptions, true>;

/** Fills in the defaults. @throws CraftError for a value out of range, and for options that contradict each other. */
export function checkOptions(model: CausalLM, options: GenerateOptions): GenerateSettings {
  refuseUnknown("generate", options, Object.keys(accepted));
  const defaults =
    options.useGenerationConfig === false
      ? {}
      : configDefaults(model, options.temperature === undefined ? undefined : options.temperature > 0);
  const temperature = options.temperature ?? defaults.temperature ?? 0;
  number("temperature", temperature, { least: 0, remedy: "0 always takes the likeliest token." });
  const numBeams = integer("numBeams", options.numBeams ?? (temperature > 0 ? 1 : defaults.numBeams) ?? 1, 1);
  const copies = integer(
    "numReturnSequences",
    options.numReturnSequences ?? defaults.numReturnSequences ?? 1,
    1,
  );
  refuseContradictions(options, { temperature, numBeams, copies });

  const { vocabSize } = model.shape;
  const penalty = options.repetitionPenalty ?? defaults.repetitionPenalty ?? 1;
  const settings: GenerateSettings = {
    inputIds: options.inputIds,
    maxNewTokens: integer("maxNewTokens", newTokens(options, defaults), 1),
    sampling:
      temperature === 0
        ? undefined
        : {
            temperature,
            topK: integer("topK", options.topK ?? defaults.topK ?? 0, 0),
            topP: number("topP", options.topP ?? defaults.topP ?? 1, { least: 0, most: 1 }),
            minP: number("minP", options.minP ?? defaults.minP ?? 0, { least: 0, most: 1 }),
            seed: integer("seed", options.seed ?? 42, 0),
          },
    repetitionPenalty: penalty === 1 ? undefined : number("repetitionPenalty", penalty, { above: 0 }),
    eosTokenIds: options.eosTokenIds ?? defaultEos(model),
    stopTokenIds: options.stopTokenIds ?? [],
    stopText: stopText(options),
    copies,
    logProbs:
      options.logProbs === undefined ? undefined : integer("logProbs", options.logProbs, 0, vocabSize),
    logProbsTemperature: logProbsTemperature(options),
    beams:
      numBeams === 1
        ? undefined
        : {
            count: numBeams,
            lengthPenalty: number("lengthPenalty", options.lengthPenalty ?? defaults.lengthPenalty ?? 1, {}),
            earlyStopping: early(options.earlyStopping ?? defaults.earlyStopping ?? false),
          },
    padTokenId: options.padTokenId ?? 0,
    batchSize: integer("batchSize", options.batchSize ?? 64, 1),
    onToken: options.onToken,
  };
  integer("seed", options.seed ?? 42, 0);
  requireTokens("eosTokenIds", settings.eosTokenIds, vocabSize);
  requireTokens("stopTokenIds", settings.stopTokenIds, vocabSize);
  requireTokens("padTokenId", [settings.padTokenId], vocabSize);
  settings.inputIds.forEach((row, i) => checkRow(model, row, i, settings.maxNewTokens));
  if (settings.beams !== undefined) refuseOutgrownBeams(model, settings);
  return settings;
}

interface Kind {
  readonly temperature: number;
  readonly numBeams: number;
  readonly copies: number;
}

/** Options that would do nothing, or that are not there together. */
function refuseContradictions(options: GenerateOptions, { temperature, numBeams, copies }: Kind): void {
  const refuse = (name: keyof GenerateOptions, reason: string, remedy: string): void => {
    const value = options[name];
    if (value === undefined || value === false) return;
    throw new CraftError({
      subject: name,
      value: typeof value === "function" ? "given" : value,
      reason,
      remedy,
    });
  };
  if (temperature === 0)
    for (const name of ["topK", "topP", "minP"] as const)
      refuse(
        name,
        "acts on tokens that are drawn, but temperature is 0",
        "Give a temperature above 0, or leave it out.",
      );
  if (numBeams > 1) {
    if (temperature > 0)
      refuse(
        "temperature",
        "beams are not drawn: beam search takes the likeliest tokens",
        "Give 0, or numBeams: 1.",
      );
    for (const name of ["onToken", "logProbs", "stopStrings"] as const)
      refuse(
        name,
        "is not there with beam search, which decides at the end what the tokens are",
        "Give numBeams: 1.",
      );
    if (copies > numBeams)
      throw new CraftError({
        subject: "numReturnSequences",
        value: copies,
        reason: `is more than the ${numBeams} beams`,
        remedy: "Give as many beams at least.",
      });
    return;
  }
  for (const name of ["lengthPenalty", "earlyStopping"] as const)
    refuse(name, "is of beam search, but numBeams is 1", "Give numBeams above 1, or leave it out.");
  if (temperature === 0 && copies > 1)
    throw new CraftError({
      subject: "numReturnSequences",
      value: copies,
      reason: "all would be equal, as temperature is 0",
      remedy: "Give a temperature above 0, or numBeams.",
    });
}

function newTokens(
  { inputIds, maxNewTokens }: GenerateOptions,
  defaults: { readonly maxNewTokens?: number | undefined; readonly maxLength?: number | undefined },
): number {
  if (maxNewTokens !== undefined) return maxNewTokens;
  if (defaults.maxNewTokens !== undefined) return defaults.maxNewTokens;
  if (defaults.maxLength !== undefined)
    return Math.max(1, defaults.maxLength - Math.max(0, ...inputIds.map(({ length }) => length)));
  throw new CraftError({
    subject: "maxNewTokens",
    reason: "is missing, and generation_config.json does not say how long an answer may be",
    remedy: "Give the most tokens to add to a row.",
  });
}

function logProbsTemperature({ logProbs, logProbsTemperature: given }: GenerateOptions): number | undefined {
  if (given === undefined) return undefined;
  if (logProbs === undefined)
    throw new CraftError({
      subject: "logProbsTemperature",
      value: given,
      reason: "is of log-probabilities, which are not asked for",
      remedy: "Give logProbs, or leave it out.",
    });
  return number("logProbsTemperature", given, { above: 0 }) === 1 ? undefined : given;
}

function stopText({ stopStrings = [], tokenizer }: GenerateOptions): GenerateSettings["stopText"] {
  if (stopStrings.length === 0) return undefined;
  const empty = stopStrings.indexOf("");
  if (empty >= 0)
    throw new CraftError({ subject: `stopStrings[${empty}]`, reason: "is empty: every text has it" });
  if (tokenizer !== undefined) return { strings: stopStrings, tokenizer };
  throw new CraftError({
    subject: "stopStrings",
    value: stopStrings,
    reason: "are looked for in text, and there is no tokenizer to make it",
    remedy: "Give the model's tokenizer as tokenizer.",
  });
}

function early(value: unknown): boolean | "never" {
  if (typeof value === "boolean" || value === "never") return value;
  throw new CraftError({ subject: "earlyStopping", value, reason: 'must be true, false or "never"' });
}

/** As transformers: what generation_config.json says, and only without that file what config.json says. */
const defaultEos = ({ generationConfig, eosTokenIds }: CausalLM): readonly number[] =>
  generationConfig === undefined ? eosTokenIds : generationConfig.eosTokenIds;
