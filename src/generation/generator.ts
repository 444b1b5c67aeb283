import type { CausalLM } from "../models/causal_lm.js";
import { loadTorch } from "../torch/torch.js";
import { Batch, type MadeToken } from "./batch.js";
import { makeBeamPrograms, type BeamPrograms } from "./beam_programs.js";
import { BeamSearch } from "./beams.js";
import type { GeneratedToken, GenerateOptions, Generation } from "./options.js";
import { canPack } from "./packing.js";
import { makePrograms, type Programs } from "./programs.js";
import { checkOptions, type BeamSettings, type GenerateSettings } from "./settings.js";

/**
 * Continues token sequences with a model, and keeps the programs and packed weights between calls. Dispose of it to
 * free them; {@link generate} does so itself.
 *
 * @example
 * using generator = new TokenGenerator(model);
 * const { sequences } = await generator.generate({ inputIds: [[1, 15, 7]], maxNewTokens: 32 });
 */
export class TokenGenerator {
  readonly #model: CausalLM;
  #programs: Programs | undefined;
  #beamPrograms: BeamPrograms | undefined;

  constructor(model: CausalLM) {
    this.#model = model;
  }

  /**
   * Batched decoding with a key-value cache. What a row gives does not depend on the rows beside it, apart from
   * rounding: it is a function of its prompt and, when sampling, of the seed and its place in the result.
   *
   * @throws CraftError for an option out of range, options that contradict each other, a prompt without tokens, an id
   * that the model has no token for, a row that would not fit the model's positions, a setting of
   * generation_config.json that is not supported, and logits that are not numbers.
   */
  async generate(options: GenerateOptions): Promise<Generation> {
    const settings = checkOptions(this.#model, options);
    if (settings.beams !== undefined) return this.#searchBeams(settings, settings.beams);
    const result = emptyResult(settings);
    for await (const tokens of this.#steps(settings)) {
      for (const token of tokens) record(result, token);
      if (settings.onToken !== undefined) for (const token of tokens) settings.onToken(withoutReason(token));
    }
    return result;
  }

  /**
   * The same as {@link generate}, token by token: yields each as soon as it is known, those of one step in the order of
   * the rows, and returns the whole. Computes no further than it is asked; leave the loop to stop.
   *
   * @throws CraftError as generate, for options before the first token is asked for; there is no stream of a beam search.
   *
   * @example
   * for await (const { row, token } of generator.stream({ inputIds, maxNewTokens: 32 })) console.log(row, token);
   */
  stream(options: Omit<GenerateOptions, "onToken">): AsyncGenerator<GeneratedToken, Generation> {
    // A stream of beams is refused like onToken.
    return this.#stream(checkOptions(this.#model, { ...options, onToken: () => undefined }));
  }

  async *#stream(settings: GenerateSettings): AsyncGenerator<GeneratedToken, Generation> {
    const result = emptyResult(settings);
    for await (const tokens of this.#steps(settings)) {
      for (const token of tokens) record(result, token);
      for (const token of tokens) yield withoutReason(token);
    }
    return result;
  }

  async *#steps(settings: GenerateSettings): AsyncGenerator<readonly MadeToken[]> {
    for (const prompts of batchesOf(settings, settings.copies)) {
      const { programs } = await this.#open();
      yield* new Batch(this.#model, programs, settings, prompts).steps();
    }
  }

  async #searchBeams(settings: GenerateSettings, beams: BeamSettings): Promise<Generation> {
    const result: Generation & { scores: number[] } = { ...emptyResult(settings), scores: [] };
    for (const prompts of batchesOf(settings, beams.count)) {
      const { programs, beamPrograms } = await this.#open();
      const search = new BeamSearch(this.#model, beamPrograms(), programs.grow, settings, beams, prompts);
      (await search.run()).forEach((best, i) =>
        best.forEach(({ tokens, score, stopped }, place) => {
          const row = prompts[i]! * settings.copies + place;
          result.sequences[row] = [...tokens];
          result.stopped[row] = stopped ?? "length";
          result.scores[row] = score;
        }),
      );
    }
    return result;
  }

  async #open(): Promise<{ programs: Programs; beamPrograms: () => BeamPrograms }> {
    await loadTorch();
    const { device } = this.#model.headWeight().value;
    const packed = await canPack(this.#model.dtype, device);
    return {
      programs: (this.#programs ??= makePrograms(this.#model, device, packed)),
      beamPrograms: () => (this.#beamPrograms ??= makeBeamPrograms(this.#model, device, packed)),
    };
  }

  dispose(): void {
    this.#programs?.dispose();
    this.#beamPrograms?.dispose();
    this.#programs = undefined;
    this.#beamPrograms = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Continues prompts once: {@link TokenGenerator.generate} with programs and packed weights that are freed at the end.
 * For many calls make a {@link TokenGenerator}.
 *
 * @example
 * const { sequences } = await generate(model, { inputIds: [tokenizer.encode("Once")], maxNewTokens: 32 });
 */
export async function generate(model: CausalLM, options: GenerateOptions): Promise<Generation> {
  using generator = new TokenGenerator(model);
  return await generator.generate(options);
}

/** Prompts that are continued together, the longest first. @param each rows that a prompt takes */
function* batchesOf({ inputIds, batchSize }: GenerateSettings, each: number): Generator<number[]> {
  const order = inputIds.map((_, i) => i).sort((a, b) => inputIds[b]!.length - inputIds[a]!.length);
  const size = Math.max(1, Math.floor(batchSize / each));
  for (let from = 0; from < order.length; from += size) yield order.slice(from, from + size);
}

function emptyResult({ inputIds, copies, logProbs }: GenerateSettings): Generation {
  const rows = <T>(make: () => T): T[] => Array.from({ length: inputIds.length * copies }, make);
  return {
    sequences: rows(() => []),
    stopped: rows(() => "length"),
    ...(logProbs !== undefined && { logProbs: rows(() => []) }),
  };
}

function record(result: Generation, { row, token, stopped, logProb }: MadeToken): void {
  result.sequences[row]!.push(token);
  if (logProb !== undefined) result.logProbs![row]!.push(logProb);
  if (stopped !== undefined) result.stopped[row] = stopped;
}

const withoutReason = ({ row, index, token, logProb }: MadeToken): GeneratedToken => ({
  row,
  index,
  token,
  ...(logProb !== undefined && { logProb }),
});
