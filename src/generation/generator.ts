import type { CausalLM } from "../models/causal_lm.js";
import { loadTorch } from "../torch/torch.js";
import { Batch, type Generation } from "./batch.js";
import { checkOptions, type GenerateOptions } from "./options.js";
import { canPack } from "./packing.js";
import { makePrograms, type Programs } from "./programs.js";

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

  constructor(model: CausalLM) {
    this.#model = model;
  }

  /**
   * Batched decoding with a key-value cache. What a row gives does not depend on the rows beside it, apart from
   * rounding: it is a function of its prompt and, when sampling, of the seed and its place in `inputIds`.
   *
   * @throws CraftError for an option out of range, a prompt without tokens, an id that the model has no token for, a
   * row that would not fit the model's positions, and logits that are not numbers.
   */
  async generate(options: GenerateOptions): Promise<Generation> {
    const settings = checkOptions(this.#model, options);
    const { inputIds, batchSize } = settings;
    const result: Generation = { sequences: inputIds.map(() => []), stopped: inputIds.map(() => "length") };
    const order = inputIds.map((_, i) => i).sort((a, b) => inputIds[b]!.length - inputIds[a]!.length);
    const programs = order.length === 0 ? undefined : await this.#open();
    for (let from = 0; from < order.length; from += batchSize) {
      const batch = new Batch(this.#model, programs!, settings, order.slice(from, from + batchSize), result);
      await batch.run();
    }
    return result;
  }

  async #open(): Promise<Programs> {
    await loadTorch();
    const { device } = this.#model.headWeight().value;
    const packed = await canPack(this.#model.dtype, device);
    return (this.#programs ??= makePrograms(this.#model, device, packed));
  }

  dispose(): void {
    this.#programs?.dispose();
    this.#programs = undefined;
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
