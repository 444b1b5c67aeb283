/** @file Prompts of different length as one batch. */
import { bucketSize } from "../data/buckets.js";
import { HostTensor } from "../tensor/index.js";

export interface PaddedPrompts {
  /** int64 [prompts, columns], padded on the left. */
  readonly ids: HostTensor;
  readonly columns: number;
  /** Column of each prompt's first token. */
  readonly starts: readonly number[];
}

export function padPrompts(prompts: readonly (readonly number[])[], padTokenId: number): PaddedPrompts {
  const columns = bucketSize(Math.max(...prompts.map(({ length }) => length)));
  const ids = new Int32Array(prompts.length * columns).fill(padTokenId);
  prompts.forEach((prompt, i) => ids.set(prompt, (i + 1) * columns - prompt.length));
  return {
    ids: new HostTensor(ids, [prompts.length, columns], "int64"),
    columns,
    starts: prompts.map(({ length }) => columns - length),
  };
}
