/** @file Attention between projected queries, keys and values. */
import { applyRotary } from "../nn/index.js";
import { attention, indexSelect, mul, reshape, type Tensor } from "../tensor/index.js";
import type { LayerContext } from "./forward_pass.js";

export interface AttendOptions {
  /** Factor of the scores. */
  readonly scale: number;
  /** Dropout of the attention weights in training. */
  readonly dropout: number;
  /** Scores s become softcap * tanh(s / softcap), where it is given. */
  readonly softcap?: number | undefined;
}

/** [batch, length, heads * size] to [batch, length, heads, size] */
export const splitHeads = (x: Tensor, size: number): Tensor =>
  x.reshape([x.shape[0]!, x.shape[1]!, -1, size]);

/** Rows [n, size] of x [batch, length, size]; all of x without places. */
export const rowsAt = (x: Tensor, places: Tensor | undefined): Tensor =>
  places === undefined ? x : indexSelect(reshape(x, [-1, x.shape[2]!]), 0, places);

/**
 * Turns queries and keys by their positions, attends to what the context lets each token see, and joins the heads.
 *
 * @param q [batch, length, heads, size]
 * @param k [batch, length, kvHeads, size]
 * @param v [batch, length, kvHeads, size]
 * @returns [batch, length, heads * size], or [n, heads * size] where the context names places
 */
export function attend(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  context: LayerContext,
  options: AttendOptions,
): Tensor {
  const { layer, rotary, bias, cache, places } = context;
  const [batch, length] = q.shape as readonly [number, number];
  const headsFirst = (x: Tensor): Tensor => x.permute([0, 2, 1, 3]);
  // The scores' factor goes to the queries, where it costs nothing beside the rotation.
  const { scale, dropout, softcap } = options;
  const queries =
    rotary === undefined ? mul(headsFirst(q), scale) : applyRotary(headsFirst(q), rotary, scale);
  const k1 = rotary === undefined ? headsFirst(k) : applyRotary(headsFirst(k), rotary);
  const v1 = headsFirst(v);
  const { keys, values } = cache === undefined ? { keys: k1, values: v1 } : cache.update(layer, k1, v1);
  const mixed = attention(queries, keys, values, {
    bias,
    scale: 1,
    dropout,
    ...(softcap === undefined ? {} : { softcap }),
  });
  return rowsAt(mixed.permute([0, 2, 1, 3]).reshape([batch, length, -1]), places);
}
