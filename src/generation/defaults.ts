/** @file What generation_config.json says where the caller says nothing. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { JsonFields } from "../models/json_fields.js";

/** Each undefined where the file says nothing, or is not asked. */
export interface Defaults {
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly maxNewTokens?: number | undefined;
  /** Tokens of prompt and continuation together. */
  readonly maxLength?: number | undefined;
  readonly numBeams?: number | undefined;
  readonly lengthPenalty?: number | undefined;
  readonly earlyStopping?: boolean | "never" | undefined;
  readonly numReturnSequences?: number | undefined;
}

/** Fields that would change what is generated and are not read, with the values that change nothing. */
const unread: Readonly<Record<string, readonly unknown[]>> = {
  no_repeat_ngram_size: [0],
  min_length: [0],
  min_new_tokens: [0],
  bad_words_ids: [],
  sequence_bias: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  exponential_decay_length_penalty: [],
  guidance_scale: [1],
  penalty_alpha: [],
  num_beam_groups: [1],
  diversity_penalty: [0],
  stop_strings: [],
  watermarking_config: [],
  max_time: [],
};

const unreadWhenSampling: typeof unread = {
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  top_h: [],
};

/**
 * @param samples whether the caller wants tokens drawn; undefined where the file decides
 * @throws CraftError for a field that would change the tokens and is not supported.
 */
export function configDefaults(model: CausalLM, samples: boolean | undefined): Defaults {
  const config = model.generationConfig;
  if (config === undefined) return {};
  const fields = new JsonFields(config.json, "generation_config.json");
  const draws = samples ?? config.doSample === true;
  refuse(config.json, { ...unread, ...(draws && unreadWhenSampling) });
  const both = {
    repetitionPenalty: config.repetitionPenalty,
    maxNewTokens: config.maxNewTokens,
    maxLength: config.maxLength,
    numReturnSequences: fields.optionalInteger("num_return_sequences", { min: 1 }),
  };
  if (draws)
    return {
      ...both,
      temperature: config.temperature ?? 1,
      topK: config.topK,
      topP: config.topP,
      minP: fields.optionalNumber("min_p", { min: 0, max: 1 }),
    };
  const numBeams = fields.optionalInteger("num_beams", { min: 1 });
  if (numBeams === undefined || numBeams === 1) return { ...both, numReturnSequences: undefined };
  return {
    ...both,
    numBeams,
    lengthPenalty: fields.optionalNumber("length_penalty"),
    earlyStopping:
      config.json["early_stopping"] === "never"
        ? "never"
        : fields.has("early_stopping") && fields.boolean("early_stopping", false),
  };
}

function refuse(json: Readonly<Record<string, unknown>>, neutral: typeof unread): void {
  for (const [name, values] of Object.entries(neutral)) {
    const value = json[name] ?? undefined;
    const plain = typeof value === "object" && "value" in value ? value.value : value;
    if (plain === undefined || values.includes(plain)) continue;
    if (Array.isArray(plain) && plain.length === 0) continue;
    throw new CraftError({
      subject: `generation_config.json, ${name}`,
      value: plain,
      reason: "is not supported, and the tokens would be others than the model's makers want",
      remedy: "Give useGenerationConfig: false to do without the file's settings.",
    });
  }
}
