/** @file The model's part of the programs of generation: logits and cache, of prompts and of one more token each. */
import type { CausalLM } from "../models/causal_lm.js";
import { withPackedWeights } from "../nn/index.js";
import { arange, type Tensor } from "../tensor/index.js";
import { PromptCache, StepCache, type KeyValues } from "./cache.js";

export type Pass = {
  /** Of the token to come: [rows, vocabulary], in the model's dtype. */
  readonly logits: Tensor;
  readonly cache: KeyValues;
};

/** A model as generation runs it. */
export interface Passes {
  /**
   * @param inputIds int64 [rows, columns], prompts padded on the left
   * @param starts int64 [rows]: column of each row's first token
   * @param capacity columns that the cache gets room for
   */
  prompt(inputIds: Tensor, starts: Tensor, capacity: number): Pass;
  /**
   * @param token int64 [rows, 1], what stands in the column
   * @param column int64 [1]
   */
  next(token: Tensor, starts: Tensor, column: Tensor, past: KeyValues): Pass;
}

/** @param packed whether weights are packed, see canPack. */
export function passesOf(model: CausalLM, packed: boolean): Passes {
  const traced = (body: () => Pass): Pass => (packed ? withPackedWeights(body) : body());
  return {
    prompt: (inputIds, starts, capacity) =>
      traced(() => {
        const [rows, columns] = inputIds.shape as readonly [number, number];
        const cache = new PromptCache(model.windows, columns, starts, capacity);
        const column = arange(0, columns);
        const hidden = model.hiddenStates(inputIds, {
          positions: column.sub(starts.reshape([rows, 1])).maximum(0),
          cache,
          at: arange(1, rows + 1)
            .mul(columns)
            .sub(1),
        });
        return { logits: model.logits(hidden), cache: cache.content };
      }),
    next: (token, starts, column, past) =>
      traced(() => {
        const rows = token.size(0);
        const cache = new StepCache(model.windows, past, column, starts);
        const hidden = model.hiddenStates(token, {
          positions: column.sub(starts.reshape([rows, 1])),
          cache,
        });
        return { logits: model.logits(hidden.select(1, 0)), cache: cache.content };
      }),
  };
}
