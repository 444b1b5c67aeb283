/** @file The programs that generation runs: one for prompts, one for each further token. */
import type { CausalLM } from "../models/causal_lm.js";
import { arange, compile, zeros, type Compiled, type Tensor } from "../tensor/index.js";
import type { Device } from "../torch/device.js";
import { grown, repeated, repeatRows, type KeyValues } from "./cache.js";
import { choose, type Choice, type Chosen } from "./choose.js";
import { passesOf } from "./passes.js";

/** What a program leaves behind: the tokens it chose, and the keys and values so far. */
export type Step = Chosen & { readonly cache: KeyValues };

/** What the programs of a prompt are made for, besides its shape. */
export type PromptPlan = {
  /** Columns that the cache gets room for. */
  readonly capacity: number;
  /** Continuations of each prompt: what a program leaves behind has this many rows for each, one after the other. */
  readonly copies: number;
  /** Tells apart what the model consists of, so that an adapter attached later is not overlooked. */
  readonly structure: string;
};

export interface Programs {
  /**
   * @param inputIds int64 [prompts, columns], padded on the left
   * @param starts int64 [prompts]: column of each row's first token
   */
  readonly prompt: Compiled<[Tensor, Tensor, Choice, PromptPlan], Step>;
  /**
   * @param token int64 [rows, 1], what stands in the column
   * @param starts int64 [rows]
   * @param column int64 [1]
   * @param past what the step before left behind; it is consumed
   */
  readonly next: Compiled<[Tensor, Tensor, Choice, Tensor, Past, string], Step>;
  readonly grow: Compiled<[KeyValues, number], KeyValues>;
  dispose(): void;
}

export type Past = { readonly cache: KeyValues; readonly seen: Tensor | undefined };

export function makePrograms(model: CausalLM, device: Device, packed: boolean): Programs {
  const passes = passesOf(model, packed);
  const options = { device, cacheSize: 32 };

  const prompt: Programs["prompt"] = compile((inputIds, starts, choice, { capacity, copies }) => {
    const { logits, cache } = passes.prompt(inputIds, starts, capacity);
    const seen = choice.penalty === undefined ? undefined : tokensOf(inputIds, starts, logits.size(1));
    return {
      ...choose(repeatRows(logits, copies), choice, seen && repeatRows(seen, copies)),
      cache: repeated(cache, copies),
    };
  }, options);

  const next: Programs["next"] = compile(
    (token, starts, choice, column, past, _structure) => {
      const { logits, cache } = passes.next(token, starts, column, past.cache);
      return { ...choose(logits, choice, past.seen), cache };
    },
    { ...options, donate: [4] },
  );

  const grow: Programs["grow"] = compile((past, capacity) => grown(past, model.windows, capacity), options);
  return {
    prompt,
    next,
    grow,
    dispose: () => [prompt, next, grow].forEach((program) => program.dispose()),
  };
}

/** How often each row has each token, int32 [rows, vocabulary]; what fills it up does not count. */
export function tokensOf(inputIds: Tensor, starts: Tensor, vocabulary: number): Tensor {
  const [rows, columns] = inputIds.shape as readonly [number, number];
  const real = arange(0, columns).ge(starts.reshape([rows, 1]));
  return zeros([rows, vocabulary], "int32").scatterAdd(1, inputIds, real.to("int32"));
}
