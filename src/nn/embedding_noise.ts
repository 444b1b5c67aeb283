import { add, mul, nextRandomPlace, uniform, type Tensor } from "../tensor/index.js";

/**
 * Noise on token embeddings (Jain et al. 2023, NEFTune): adds uniform numbers in ±alpha / sqrt(length * size) where
 * randomness is on, as dropout is, and nothing elsewhere.
 *
 * @param x embeddings [batch, length, size]; the length counts padding, as in transformers
 */
export function embeddingNoise(x: Tensor, alpha: number): Tensor {
  const random = alpha === 0 ? undefined : nextRandomPlace();
  if (random === undefined) return x;
  const [batch, length, size] = x.shape as readonly [number, number, number];
  const { key, place, rows } = random;
  // A part of a batch draws what it would draw in the whole one.
  const start = rows && mul(rows.first, (batch / rows.count) * length * size);
  const reach = alpha / Math.sqrt(length * size);
  const noise = mul(add(uniform(x.shape, key, place, start), -0.5), 2 * reach);
  return add(x, noise.to(x.dtype));
}
