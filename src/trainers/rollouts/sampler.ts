/** @file Where completions come from. */
import { TokenGenerator, type StopReason } from "../../generation/index.js";
import type { CausalLM } from "../../models/causal_lm.js";

export interface SampleRequest {
  /** Tokens of the prompts. */
  readonly prompts: readonly (readonly number[])[];
  /** Completions of each prompt. */
  readonly copies: number;
  /** Another one for each call; completions are a function of it. */
  readonly seed: number;
}

export interface SampledCompletion {
  /** With the token that ended it, if one did. At least one. */
  readonly ids: readonly number[];
  /** Log-probability of each token where logits are divided by the temperature; computed anew where they are not given. */
  readonly logProbs?: readonly number[] | undefined;
  /** `length`: it was cut off. */
  readonly stopped: StopReason;
}

/** Continues prompts: all completions of a prompt follow each other. */
export type Sampler = (request: SampleRequest) => Promise<readonly SampledCompletion[]>;

export interface SamplingOptions {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP?: number | undefined;
  readonly repetitionPenalty: number;
  readonly maxCompletionLength: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number;
  /** Rows that are continued at the same time. */
  readonly rows: number;
  /** Whether log-probabilities are wanted. */
  readonly logProbs: boolean;
}

/** Samples from the model as it is now; a prompt is computed once for all its completions. */
export class PolicySampler {
  readonly #generator: TokenGenerator;
  readonly #options: SamplingOptions;

  constructor(model: CausalLM, options: SamplingOptions) {
    this.#generator = new TokenGenerator(model);
    this.#options = options;
  }

  readonly sample: Sampler = async ({ prompts, copies, seed }) => {
    const { topP, topK, minP, maxCompletionLength, rows, logProbs, ...options } = this.#options;
    const made = await this.#generator.generate({
      ...options,
      inputIds: prompts,
      numReturnSequences: copies,
      maxNewTokens: maxCompletionLength,
      topP,
      topK,
      minP,
      seed,
      batchSize: rows,
      useGenerationConfig: false,
      ...(logProbs && { logProbs: 0, logProbsTemperature: options.temperature }),
    });
    return made.sequences.map((ids, i) => ({
      ids,
      logProbs: made.logProbs?.[i]!.map(({ logProb }) => logProb),
      stopped: made.stopped[i]!,
    }));
  };

  dispose(): void {
    this.#generator.dispose();
  }
}
