/** @file One vector for each text, out of a model's hidden states. */
import { pool, poolings, type Pooling } from "../craft/index.js";
import { bucketSize } from "../data/buckets.js";
import { refuseUnknown, requireOneOf } from "../data/options.js";
import type { CausalLM } from "../models/causal_lm.js";
import { compile, HostTensor, type Tensor } from "../tensor/index.js";
import { checkRows, requireBatchSize } from "./rows.js";

export interface EmbedOptions {
  /** Which hidden states stand for a text. Default "last_token". */
  readonly pooling?: Pooling;
  /** Rows that are computed at the same time; rows of like length come together. Default 32. */
  readonly batchSize?: number;
}

/**
 * Pools the final hidden states of each row, as CRAFT does before its projection head.
 *
 * @param rows token ids, as the model takes them
 * @returns float32 vectors of the model's hidden size, in the order of the rows
 * @throws CraftError for a row without tokens and an id that the model has no token for.
 */
export async function embed(
  model: CausalLM,
  rows: readonly (readonly number[])[],
  options: EmbedOptions = {},
): Promise<Float32Array[]> {
  refuseUnknown("embed", options, ["pooling", "batchSize"] satisfies (keyof EmbedOptions)[]);
  const pooling = requireOneOf("pooling", options.pooling ?? "last_token", poolings);
  const batchSize = requireBatchSize(options.batchSize ?? 32);
  checkRows(rows, model.shape.vocabSize);
  const { device } = model.headWeight().value;
  const program = compile((ids: Tensor, mask: Tensor) => pool(model.hiddenStates(ids), mask, pooling), {
    device,
  });
  const vectors = new Array<Float32Array>(rows.length);
  const order = rows.map((_, i) => i).sort((a, b) => rows[a]!.length - rows[b]!.length);
  try {
    for (let from = 0; from < order.length; from += batchSize) {
      const batch = order.slice(from, from + batchSize);
      const [ids, mask] = feeds(batch.map((row) => rows[row]!));
      using pooled = await program(ids, mask);
      const flat = Float32Array.from(pooled.toNumbers());
      const size = pooled.shape[1]!;
      batch.forEach((row, i) => (vectors[row] = flat.slice(i * size, (i + 1) * size)));
    }
  } finally {
    program.dispose();
  }
  return vectors;
}

/** Ids and mask [rows, length], padded on the right, where nothing looks at it. */
function feeds(rows: readonly (readonly number[])[]): [HostTensor, HostTensor] {
  const length = bucketSize(Math.max(...rows.map((row) => row.length)));
  const ids = new Int32Array(rows.length * length);
  const mask = new Int32Array(rows.length * length);
  rows.forEach((row, i) => {
    ids.set(row, i * length);
    mask.fill(1, i * length, i * length + row.length);
  });
  const feed = (data: Int32Array): HostTensor => new HostTensor(data, [rows.length, length], "int64");
  return [feed(ids), feed(mask)];
}
