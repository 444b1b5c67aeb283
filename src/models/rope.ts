/** @file Frequencies of rotary position embeddings, with the scalings of transformers' modeling_rope_utils. */
import type { RopeParameters } from "./config.js";

/**
 * Radians per position for each pair of elements of a head, float32 [headSize / 2].
 *
 * @param length tokens that the program sees; decides the base of `dynamic` scaling beyond the trained length
 */
export function inverseFrequencies(
  rope: RopeParameters,
  headSize: number,
  length: number,
  maxPositions: number,
): Float32Array {
  const half = headSize / 2;
  const plain = (theta: number): Float32Array =>
    Float32Array.from({ length: half }, (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / headSize)));
  switch (rope.type) {
    case "default":
      return plain(rope.theta);
    case "linear":
      return plain(rope.theta).map((f) => f / rope.factor);
    case "dynamic": {
      // Beyond the trained length the base grows, so that the slowest pair still turns as far as it did in training.
      const seen = Math.max(length, maxPositions);
      const grown = (rope.factor * seen) / maxPositions - (rope.factor - 1);
      return plain(rope.theta * grown ** (headSize / (headSize - 2)));
    }
    case "llama3":
      return plain(rope.theta).map((f) => scaleLlama3(f, rope));
  }
}

/** Long waves are slowed by the factor, short ones kept, those in between blended (Llama 3.1). */
function scaleLlama3(frequency: number, rope: Extract<RopeParameters, { type: "llama3" }>): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original } = rope;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < original / highFreqFactor) return frequency;
  if (wavelength > original / lowFreqFactor) return frequency / factor;
  const smooth = (original / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}
