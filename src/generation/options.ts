/** @file What generation takes and gives. */
import type { StreamTokenizer } from "../text/index.js";

export interface GenerateOptions {
  /** Token ids of the prompts, one row each; rows may differ in length. */
  readonly inputIds: readonly (readonly number[])[];
  /**
   * Most tokens to add to each row. With its prompt a row must fit the model's `maxLength`. Needed, unless
   * generation_config.json has max_new_tokens or max_length.
   */
  readonly maxNewTokens?: number | undefined;
  /**
   * 0 takes the likeliest token; t > 0 draws from softmax(logits / t). Default: what generation_config.json says if
   * do_sample is true there, else 0.
   */
  readonly temperature?: number | undefined;
  /** Draw from the k likeliest tokens only; 0 is all. Default: generation_config.json's, else 0. */
  readonly topK?: number | undefined;
  /**
   * Draw from the fewest tokens whose chances sum up to p, in [0, 1] (Holtzman et al. 2020). Default:
   * generation_config.json's, else 1.
   */
  readonly topP?: number | undefined;
  /**
   * Draw from tokens that are at least this share as likely as the likeliest one, in [0, 1]. Default:
   * generation_config.json's, else 0.
   */
  readonly minP?: number | undefined;
  /**
   * Scores of tokens that the row, its prompt included, already has are divided by this where they are positive and
   * else multiplied: above 1 discourages repetition. Default: generation_config.json's, else 1.
   */
  readonly repetitionPenalty?: number | undefined;
  /** A row ends with the first of these that it produces. Default: those of generation_config.json, else config.json. */
  readonly eosTokenIds?: readonly number[] | undefined;
  /** Further tokens that end a row. */
  readonly stopTokenIds?: readonly number[] | undefined;
  /** A row ends with the token that completes one of these texts in its continuation. Needs `tokenizer`. */
  readonly stopStrings?: readonly string[] | undefined;
  /** Turns tokens into the text that stop strings are looked for in. */
  readonly tokenizer?: StreamTokenizer | undefined;
  /** Continuations of each prompt, which share the computation of the prompt. Default 1. */
  readonly numReturnSequences?: number | undefined;
  /**
   * Also tell the log-probability of each token that was chosen, and of this many likeliest tokens in its place; 0 is the
   * chosen one alone. By the model itself: before penalty, temperature and filters; but see `logProbsTemperature`.
   */
  readonly logProbs?: number | undefined;
  /** Logits are divided by this before log-probabilities are taken, as policies are when they are trained. Default 1. */
  readonly logProbsTemperature?: number | undefined;
  /** Beam search with this many beams, as in transformers. Default: generation_config.json's, else 1, which is none. */
  readonly numBeams?: number | undefined;
  /** Of beam search: scores are divided by length^p, so that p > 0 favours long sequences. Default 1. */
  readonly lengthPenalty?: number | undefined;
  /**
   * Of beam search, when a prompt is done: `true` as soon as there are `numBeams` complete candidates; `false` (default)
   * when it is unlikely that better ones come; `"never"` when none can come.
   */
  readonly earlyStopping?: boolean | "never" | undefined;
  /** Fills up shorter prompts on the left, where nothing looks at it. Default 0. */
  readonly padTokenId?: number | undefined;
  /** Of sampling: a token is a function of seed, row and place in the row. Default 42. */
  readonly seed?: number | undefined;
  /** Rows that are continued at the same time, those of one prompt together; the longest prompts come first. Default 64. */
  readonly batchSize?: number | undefined;
  /** Whether generation_config.json gives defaults. If not, only its end-of-sequence tokens count. Default true. */
  readonly useGenerationConfig?: boolean | undefined;
  /** Called with each token as soon as it is known. */
  readonly onToken?: ((token: GeneratedToken) => void) | undefined;
}

export interface GeneratedToken {
  /** Which row of the result. */
  readonly row: number;
  /** Its place in the continuation, from 0. */
  readonly index: number;
  readonly token: number;
  /** Present where `logProbs` was asked for. */
  readonly logProb?: TokenLogProb;
}

export interface TokenLogProb {
  /** Natural logarithm of the token's chance. */
  readonly logProb: number;
  /** The likeliest tokens, from the likeliest on. */
  readonly top: readonly { readonly token: number; readonly logProb: number }[];
}

/**
 * `eos`: an end-of-sequence token came; `stop`: a stop token or string came; `length`: `maxNewTokens` were made without
 * one.
 */
export type StopReason = "eos" | "stop" | "length";

/** Continuations in the order of the prompts, all of a prompt one after the other. */
export interface Generation {
  /** The new tokens of each row, with the one that ended it. */
  readonly sequences: number[][];
  /** Why each row ended. */
  readonly stopped: StopReason[];
  /** For each token of `sequences`, where `logProbs` was asked for. */
  readonly logProbs?: TokenLogProb[][];
  /** Of beam search: the sum of the log-probabilities of each row's tokens over length^lengthPenalty, best first. */
  readonly scores?: number[];
}
