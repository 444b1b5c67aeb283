/** @file Rotary position embeddings (Su et al. 2021), in the half-split form of Llama models. */
import {
  add,
  arange,
  bmm,
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

/** Cosines and sines of the n angles at each position, float32, broadcastable to [batch, heads, length, n]. */
export interface RotaryTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * @param positions int64 [length] or [batch, length]
 * @param inverseFrequencies float32 [n] or [batch, 1, 1, n]: radians per position for each pair of elements
 * @param scaling factor of both tables
 */
export function rotaryTables(positions: Tensor, inverseFrequencies: Tensor, scaling = 1): RotaryTables {
  const length = positions.shape.at(-1)!;
  const lead = positions.ndim === 2 ? [positions.shape[0]!, 1] : [];
  const angles = mul(reshape(positions.to("float32"), [...lead, length, 1]), inverseFrequencies);
  const scaled = (x: Tensor): Tensor => (scaling === 1 ? x : mul(x, scaling));
  return { cos: scaled(cos(angles)), sin: scaled(sin(angles)) };
}

const scaleTables = (tables: RotaryTables, by: number): RotaryTables =>
  by === 1 ? tables : { cos: mul(tables.cos, by), sin: mul(tables.sin, by) };

/** @param scale factor of the elements that the tables do not reach */
function rotate(x: Tensor, { cos, sin }: RotaryTables, scale: number): Tensor {
  const size = x.shape.at(-1)!;
  const half = cos.shape.at(-1)!;
  const first = slice(x, -1, 0, half);
  const second = slice(x, -1, half, 2 * half);
  const turned = [sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))];
  if (2 * half === size) return cat(turned, -1);
  const rest = slice(x, -1, 2 * half);
  return cat([...turned, scale === 1 ? rest : mul(rest, scale)], -1);
}

/** What the layers of a pass share, by the tables that they share. */
const matricesOf = new WeakMap<RotaryTables, Map<number, Tensor>>();

/** The rotation of one position, times a factor, as matrices [batch or 1, 2 n, 2 n] that rows are multiplied with. */
function rotationMatrices(tables: RotaryTables, scale: number): Tensor {
  const known = matricesOf.get(tables) ?? new Map<number, Tensor>();
  matricesOf.set(tables, known);
  const matrices = known.get(scale) ?? turningMatrices(scaleTables(tables, scale));
  known.set(scale, matrices);
  return matrices;
}

function turningMatrices({ cos, sin }: RotaryTables): Tensor {
  const n = cos.shape.at(-1)!;
  const eye = arange(0, n).reshape([n, 1]).eq(arange(0, n)).to(cos.dtype);
  const diagonal = (x: Tensor): Tensor => mul(reshape(x, [-1, n, 1]), eye);
  const [c, s] = [diagonal(cos), diagonal(sin)];
  return cat([cat([c, s], -1), cat([neg(s), c], -1)], -2);
}

/** The rotation where all rows have one position each, as in generation: one product in the place of seven passes. */
function rotateOne(x: Tensor, matrices: Tensor): Tensor {
  const [batch, heads, , size] = x.shape as readonly [number, number, number, number];
  const each = matrices.expand([batch, size, size]);
  return reshape(bmm(reshape(x, [batch, heads, size]), each), x.shape);
}

/**
 * Rotates each pair (x[i], x[i + n]) of a head by its angle, in float32, where the tables have n angles: half the size of
 * a head, or less; the elements from 2n on stay where they are.
 *
 * @param x [batch, heads, length, size]
 * @param scale factor of the result; the scores' factor goes here, where it costs nothing
 * @returns the same shape and dtype, contiguous
 */
export function applyRotary(x: Tensor, tables: RotaryTables, scale = 1): Tensor {
  const { dtype } = x;
  const wide = dtype === "float64" ? dtype : "float32";
  const scaled = scaleTables(tables, scale);
  const one = x.shape[2] === 1 && 2 * tables.cos.shape.at(-1)! === x.shape[3];
  const matrices = one ? rotationMatrices(tables, scale) : undefined;
  const forward = (input: Tensor): Tensor =>
    matrices === undefined
      ? rotate(input.contiguous(wide), scaled, scale)
      : rotateOne(input.to(wide), matrices);
  // The transpose of a rotation turns back by the same angle.
  return customVjp(
    [x],
    (input) => ({ results: [forward(input).to(dtype)], keep: undefined }),
    ([g]) => [rotate(g!.to(wide), { cos: scaled.cos, sin: neg(scaled.sin) }, scale).to(dtype)],
  )[0]!;
}
