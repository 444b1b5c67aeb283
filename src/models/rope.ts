/** @file Frequencies of rotary position embeddings, with the scalings of transformers' modeling_rope_utils. */
import { rotaryTables, type RotaryTables } from "../nn/index.js";
import { amax, constant, HostTensor, where, type Tensor } from "../tensor/index.js";
import type { LongRope, RopeParameters, YarnRope } from "./rope_config.js";

/** The rotary embedding of a kind of layers. */
export interface Rotary {
  readonly rope: RopeParameters;
  /** Elements of each head that are rotated, from the first on. Even. */
  readonly size: number;
  /** Longest sequence that the positions were trained for. */
  readonly maxPositions: number;
}

/** Whether the angles depend on the length of a text beyond `trained` tokens. */
export function lengthDependence({ rope, maxPositions }: Rotary): { readonly trained: number } | undefined {
  if (rope.type === "dynamic") return { trained: maxPositions };
  return rope.type === "longrope" ? { trained: rope.originalMaxPositionEmbeddings } : undefined;
}

/**
 * Cosines and sines at each position.
 *
 * @param length tokens that the program sees
 * @param given positions int64 [length] or [batch, length], where they are not 0, 1, 2 …: LongRoPE then goes by the last
 * position of each row
 */
export function tablesFor(
  { rope, size, maxPositions }: Rotary,
  positions: Tensor,
  length: number,
  given: boolean,
): RotaryTables {
  const known = (values: Float32Array): Tensor => constant(new HostTensor(values, [size / 2], "float32"));
  if (rope.type === "yarn") return rotaryTables(positions, known(yarn(rope, size)), rope.attentionFactor);
  if (rope.type !== "longrope")
    return rotaryTables(positions, known(inverseFrequencies(rope, size, length, maxPositions)));
  const { originalMaxPositionEmbeddings: original, attentionFactor } = rope;
  const short = known(longrope(rope, size, "shortFactor"));
  const long = known(longrope(rope, size, "longFactor"));
  if (!given) return rotaryTables(positions, length > original ? long : short, attentionFactor);
  const isLong = amax(positions, [-1], true).ge(original);
  const frequencies = where(positions.ndim === 2 ? isLong.reshape([-1, 1, 1, 1]) : isLong, long, short);
  return rotaryTables(positions, frequencies, attentionFactor);
}

type PlainRope = Exclude<RopeParameters, YarnRope | LongRope>;

const plain = (theta: number, size: number): Float32Array =>
  Float32Array.from({ length: size / 2 }, (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / size)));

/**
 * Radians per position for each pair of elements of a head, float32 [size / 2].
 *
 * @param length tokens that the program sees; decides the base of `dynamic` scaling beyond the trained length
 */
export function inverseFrequencies(
  rope: PlainRope,
  size: number,
  length: number,
  maxPositions: number,
): Float32Array {
  switch (rope.type) {
    case "default":
      return plain(rope.theta, size);
    case "linear":
      return plain(rope.theta, size).map((f) => f / rope.factor);
    case "dynamic": {
      // Beyond the trained length the base grows, so that the slowest pair still turns as far as it did in training.
      const seen = Math.max(length, maxPositions);
      const grown = (rope.factor * seen) / maxPositions - (rope.factor - 1);
      return plain(rope.theta * grown ** (size / (size - 2)), size);
    }
    case "llama3":
      return plain(rope.theta, size).map((f) => scaleLlama3(f, rope));
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

/** Each wave's own share of the way from its trained frequency to the divided one grows along a ramp over the pairs. */
function yarn(rope: YarnRope, size: number): Float32Array {
  const { theta, factor, originalMaxPositionEmbeddings: original } = rope;
  /** The pair, as a real number, that makes so many turns within the original length. */
  const pairOf = (turns: number): number =>
    (size * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const ends = [pairOf(rope.betaFast), pairOf(rope.betaSlow)] as const;
  const [first, last] = rope.truncate ? [Math.floor(ends[0]), Math.ceil(ends[1])] : ends;
  const low = Math.max(first, 0);
  const high = Math.min(last, size - 1);
  const width = low === high ? 0.001 : high - low;
  return plain(theta, size).map((f, i) => {
    const divided = Math.min(1, Math.max(0, (i - low) / width));
    return (f / factor) * divided + f * (1 - divided);
  });
}

const longrope = (rope: LongRope, size: number, which: "shortFactor" | "longFactor"): Float32Array =>
  plain(rope.theta, size).map((f, i) => f / rope[which][i]!);
