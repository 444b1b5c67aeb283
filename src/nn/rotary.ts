/** @file Rotary position embeddings (Su et al. 2021), in the half-split form of Llama models. */
import {
  add,
  cat,
  cos,
  customVjp,
  mul,
  neg,
  reshape,
  sin,
  slice,
  sub,
  type Tensor,
} from "../tensor/index.js";

/** Cosines and sines of the angles at each position, float32, broadcastable to [batch, heads, length, size / 2]. */
export interface RotaryTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * @param positions int64 [length] or [batch, length]
 * @param inverseFrequencies float32 [size / 2]: radians per position for each pair of elements
 * @param scaling factor of both tables
 */
export function rotaryTables(positions: Tensor, inverseFrequencies: Tensor, scaling = 1): RotaryTables {
  const length = positions.shape.at(-1)!;
  const lead = positions.ndim === 2 ? [positions.shape[0]!, 1] : [];
  const angles = mul(reshape(positions.to("float32"), [...lead, length, 1]), inverseFrequencies);
  const scaled = (x: Tensor): Tensor => (scaling === 1 ? x : mul(x, scaling));
  return { cos: scaled(cos(angles)), sin: scaled(sin(angles)) };
}

const scaleTables = ({ cos, sin }: RotaryTables, by: number): RotaryTables => ({
  cos: mul(cos, by),
  sin: mul(sin, by),
});

function rotate(x: Tensor, { cos, sin }: RotaryTables): Tensor {
  const half = x.shape.at(-1)! / 2;
  const first = slice(x, -1, 0, half);
  const second = slice(x, -1, half);
  return cat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))], -1);
}

/**
 * Rotates each pair (x[i], x[i + size / 2]) of a head by its angle, in float32.
 *
 * @param x [batch, heads, length, size]
 * @param scale factor of the result; the scores' factor goes here, where it costs nothing
 * @returns the same shape and dtype, contiguous
 */
export function applyRotary(x: Tensor, tables: RotaryTables, scale = 1): Tensor {
  const { dtype } = x;
  const wide = dtype === "float64" ? dtype : "float32";
  const scaled = scale === 1 ? tables : scaleTables(tables, scale);
  // The transpose of a rotation turns back by the same angle.
  return customVjp(
    [x],
    (input) => ({ results: [rotate(input.contiguous(wide), scaled).to(dtype)], keep: undefined }),
    ([g]) => [rotate(g!.to(wide), { cos: scaled.cos, sin: neg(scaled.sin) }).to(dtype)],
  )[0]!;
}
