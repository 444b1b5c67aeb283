/** @file The programs that generation runs: one for prompts, one for each further token. */
import type { CausalLM } from "../models/causal_lm.js";
import { withPackedWeights } from "../nn/index.js";
import { arange, compile, full, where, zeros, type Compiled, type Tensor } from "../tensor/index.js";
import type { Device } from "../torch/device.js";
import { grown, PromptCache, StepCache, type KeyValues } from "./cache.js";
import { choose, type Choice, type Chosen } from "./choose.js";

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
  const traced = <T>(body: () => T): T => (packed ? withPackedWeights(body) : body());
  const options = { device, cacheSize: 32 };

  const prompt: Programs["prompt"] = compile(
    (inputIds, starts, choice, capacity, _structure) =>
      traced(() => {
        const [rows, columns] = inputIds.shape as readonly [number, number];
        const cache = new PromptCache(capacity);
        const column = arange(0, columns);
        const hidden = model.hiddenStates(inputIds, {
          positions: column.sub(starts.reshape([rows, 1])).maximum(0),
          bias: visibleBias(column.reshape([columns, 1]), column, starts),
          cache,
          at: arange(1, rows + 1)
            .mul(columns)
            .sub(1),
        });
        const logits = model.logits(hidden);
        return { ...choose(logits, choice), cache: cache.content };
      }),
    options,
  );

  const next: Programs["next"] = compile(
    (token, starts, choice, column, past, _structure) =>
      traced(() => {
        const rows = token.size(0);
        const cache = new StepCache(past, column);
        const columns = arange(0, past.keys[0]!.size(2));
        const hidden = model.hiddenStates(token, {
          positions: column.sub(starts.reshape([rows, 1])),
          bias: visibleBias(column.reshape([1, 1]), columns, starts),
          cache,
        });
        return { ...choose(model.logits(hidden.select(1, 0)), choice), cache: cache.content };
      }),
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

/**
 * Bias [rows, 1, queries, keys] of the attention, 0 or minus infinity: a token sees those of its row up to itself.
 * Padding sees itself, so that no softmax is without a finite score; nothing sees padding.
 *
 * @param queries int64 [queries, 1]: columns that look
 * @param keys int64 [keys]: columns that are looked at
 */
function visibleBias(queries: Tensor, keys: Tensor, starts: Tensor): Tensor {
  const rows = starts.size(0);
  const real = keys.ge(starts.reshape([rows, 1, 1]));
  const visible = keys.le(queries).logicalAnd(real.logicalOr(keys.eq(queries)));
  return where(visible, zeros([]), full([], -Infinity)).reshape([rows, 1, queries.size(0), keys.numel]);
}
