/** @file The programs that generation runs: one for prompts, one for each further token. */
import type { CausalLM } from "../models/causal_lm.js";
import { compile, type Compiled, type Tensor } from "../tensor/index.js";
import type { Device } from "../torch/device.js";
import { grown, type KeyValues } from "./cache.js";
import { choose, type Choice, type Chosen } from "./choose.js";
import { passesOf } from "./passes.js";

/** What a program leaves behind: the tokens it chose, and the keys and values so far. */
export type Step = Chosen & { readonly cache: KeyValues };

export interface Programs {
  /**
   * @param inputIds int64 [rows, columns], prompts padded on the left
   * @param starts int64 [rows]: column of each row's first token
   * @param capacity columns that the cache gets room for
   * @param structure tells apart what the model consists of, so that an adapter attached later is not overlooked
   */
  readonly prompt: Compiled<[Tensor, Tensor, Choice, number, string], Step>;
  /**
   * @param token int64 [rows, 1], what stands in the column
   * @param column int64 [1]
   */
  readonly next: Compiled<[Tensor, Tensor, Choice, Tensor, KeyValues, string], Step>;
  readonly grow: Compiled<[KeyValues, number], KeyValues>;
  dispose(): void;
}

export function makePrograms(model: CausalLM, device: Device, packed: boolean): Programs {
  const passes = passesOf(model, packed);
  const options = { device, cacheSize: 32 };

  const prompt: Programs["prompt"] = compile((inputIds, starts, choice, capacity, _structure) => {
    const { logits, cache } = passes.prompt(inputIds, starts, capacity);
    return { ...choose(logits, choice), cache };
  }, options);

  const next: Programs["next"] = compile(
    (token, starts, choice, column, past, _structure) => {
      const { logits, cache } = passes.next(token, starts, column, past);
      return { ...choose(logits, choice), cache };
    },
    { ...options, donate: [4] },
  );

  const grow: Programs["grow"] = compile((past, capacity) => grown(past, capacity), options);
  return {
    prompt,
    next,
    grow,
    dispose: () => [prompt, next, grow].forEach((program) => program.dispose()),
  };
}
