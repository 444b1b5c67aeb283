/** @file How config.json describes rotary position embeddings, in transformers 4 and 5. */
import type { JsonFields } from "./json_fields.js";
import { isJsonObject, jsonFloat, type JsonObject, type JsonValue } from "./python_json.js";

interface RopeBase {
  /** Base of the wavelengths: inverse frequency i is `theta ** (-2 i / headDim)`. */
  readonly theta: number;
}

export interface DefaultRope extends RopeBase {
  readonly type: "default";
}

/** All frequencies divided by `factor`. */
export interface LinearRope extends RopeBase {
  readonly type: "linear";
  /** At least 1. */
  readonly factor: number;
}

/** A base that grows with the sequence once it is longer than the model's `max_position_embeddings`. */
export interface DynamicRope extends RopeBase {
  readonly type: "dynamic";
  /** At least 1. */
  readonly factor: number;
}

/** Llama 3.1: long wavelengths divided by `factor`, short ones kept, those between interpolated. */
export interface Llama3Rope extends RopeBase {
  readonly type: "llama3";
  /** At least 1. */
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  /** Longest sequence of the pretraining, in tokens. */
  readonly originalMaxPositionEmbeddings: number;
}

/** YaRN (Peng et al. 2023): short waves kept, long ones divided by `factor`, a ramp between, and larger scores. */
export interface YarnRope extends RopeBase {
  readonly type: "yarn";
  /** At least 1. */
  readonly factor: number;
  /** Turns within the original length from which waves are kept. */
  readonly betaFast: number;
  /** Turns within the original length below which waves are divided. */
  readonly betaSlow: number;
  /** Whether the ends of the ramp are whole pairs. */
  readonly truncate: boolean;
  /** Factor of queries and keys. */
  readonly attentionFactor: number;
  readonly originalMaxPositionEmbeddings: number;
}

/** LongRoPE (Ding et al. 2024): a factor for each wave, one set for short texts and one for long ones. */
export interface LongRope extends RopeBase {
  readonly type: "longrope";
  readonly shortFactor: readonly number[];
  readonly longFactor: readonly number[];
  /** Factor of queries and keys. */
  readonly attentionFactor: number;
  /** Longer texts take `longFactor`. */
  readonly originalMaxPositionEmbeddings: number;
}

export type RopeParameters = DefaultRope | LinearRope | DynamicRope | Llama3Rope | YarnRope | LongRope;

/** What an architecture expects of its rotary embeddings. */
export interface RopeContext {
  readonly maxPositionEmbeddings: number;
  /** Elements of each head that are rotated. */
  readonly rotarySize: number;
  /** 10,000 by default. */
  readonly theta?: number;
  /** Whether `partial_rotary_factor` is understood; see {@link partialRotarySize}. */
  readonly partial?: boolean;
  /** Kinds that the architecture has; all by default. */
  readonly types?: readonly RopeParameters["type"][];
  /** Other names of kinds. */
  readonly aliases?: Readonly<Record<string, RopeParameters["type"]>>;
  /** `original_max_position_embeddings` of an architecture that keeps it beside the rotary settings. */
  readonly originalLength?: number;
}

const supported = ["default", "linear", "dynamic", "llama3", "yarn", "longrope"] as const;
const common = ["rope_type", "type", "rope_theta", "partial_rotary_factor", "factor"];
const originalLength = "original_max_position_embeddings";
const llama3Only = ["low_freq_factor", "high_freq_factor"];
const yarnOnly = ["beta_fast", "beta_slow", "truncate", "attention_factor", "mscale", "mscale_all_dim"];
const longropeOnly = ["short_factor", "long_factor", "attention_factor"];

/**
 * Reads `rope_theta` with `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5). Where a file has
 * both, `rope_scaling` wins, as in transformers.
 *
 * @throws CraftError for a kind of scaling that is not supported, naming those that are.
 */
export function readRope(fields: JsonFields, context: RopeContext): RopeParameters {
  if (context.partial !== true) refusePartial(fields);
  const rope = described(fields);
  for (const [key, value] of Object.entries(rope?.json ?? {}))
    if (isJsonObject(value))
      throw rope!.error(key, "is a rotary embedding for one kind of layers, which is not supported");
  const place = rope?.has("rope_theta") === true ? rope : fields;
  return readScaling(
    rope,
    fields,
    place.number("rope_theta", context.theta ?? 10_000, { above: 0 }),
    context,
  );
}

/**
 * Reads one object that describes rotary embeddings, or what holds without one.
 *
 * @param model the fields around it
 */
export function readScaling(
  rope: JsonFields | undefined,
  model: JsonFields,
  theta: number,
  context: RopeContext,
): RopeParameters {
  if (rope === undefined) return { type: "default", theta };
  if (context.partial !== true) refusePartial(rope);
  const type = ropeType(rope, context);
  if (type === "default") {
    rope.refuseUnless("factor", [1], 'means nothing with rope_type "default"', `Name the kind of scaling`);
    refuseOthers(rope, common);
    return { type, theta };
  }
  const { maxPositionEmbeddings } = context;
  if (type === "longrope") return readLongrope(rope, model, theta, context);
  if (!rope.has("factor")) throw rope.error("factor", `is missing; rope_type "${type}" needs it`);
  const factor = rope.number("factor", 1, { min: 1 });
  if (type === "llama3") return readLlama3(rope, model, theta, factor, context);
  if (type === "yarn") return readYarn(rope, model, theta, factor, context);
  rope.refuseUnless(
    originalLength,
    [maxPositionEmbeddings],
    `is not used with rope_type "${type}"`,
    "Remove it; the model's max_position_embeddings counts",
  );
  refuseOthers(rope, [...common, originalLength]);
  return { type, theta, factor };
}

/** The field beside the rotary ones is that of Phi-3; transformers lets it win. */
function readOriginalLength(
  rope: JsonFields,
  model: JsonFields,
  { maxPositionEmbeddings, originalLength: beside }: RopeContext,
): number {
  const place = beside !== undefined || model.has(originalLength) ? model : rope;
  return place.integer(originalLength, beside ?? maxPositionEmbeddings, { min: 1 });
}

/**
 * Elements of each head that are rotated: `partial_rotary_factor`, among the rotary settings or beside them, times the
 * size of a head.
 */
export function partialRotarySize(
  fields: JsonFields,
  headDim: number,
  key = "partial_rotary_factor",
  fallback = 1,
): number {
  const rope = described(fields);
  const inside = rope?.has("partial_rotary_factor") === true;
  const [place, name] = inside ? [rope, "partial_rotary_factor"] : [fields, key];
  const factor = place.number(name, fallback, { above: 0, max: 1 });
  const size = Math.floor(headDim * factor);
  if (size < 2 || size % 2 !== 0)
    throw place.error(name, `of ${headDim} elements of a head leaves ${size}; an even number is needed`);
  return size;
}

function described(fields: JsonFields): JsonFields | undefined {
  const present = ["rope_scaling", "rope_parameters"].map((key) => fields.object(key));
  return present.find((rope) => rope !== undefined && rope.keys().length > 0);
}

function ropeType(
  rope: JsonFields,
  { types = supported, aliases = {} }: RopeContext,
): RopeParameters["type"] {
  const key = rope.has("rope_type") ? "rope_type" : "type";
  const name = rope.optionalString(key) ?? "default";
  const type = types.find((candidate) => candidate === (aliases[name] ?? name));
  if (type === undefined) throw rope.error(key, "is not supported", `Supported are ${types.join(", ")}`);
  return type;
}

function readLlama3(
  rope: JsonFields,
  model: JsonFields,
  theta: number,
  factor: number,
  context: RopeContext,
): Llama3Rope {
  for (const key of llama3Only)
    if (!rope.has(key)) throw rope.error(key, 'is missing; rope_type "llama3" needs it');
  const lowFreqFactor = rope.number("low_freq_factor", 1, { above: 0 });
  const highFreqFactor = rope.number("high_freq_factor", 4, { above: 0 });
  if (highFreqFactor <= lowFreqFactor)
    throw rope.error("high_freq_factor", `must be greater than low_freq_factor, which is ${lowFreqFactor}`);
  const originalMaxPositionEmbeddings = readOriginalLength(rope, model, context);
  refuseOthers(rope, [...common, ...llama3Only, originalLength]);
  return { type: "llama3", theta, factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings };
}

function readYarn(
  rope: JsonFields,
  model: JsonFields,
  theta: number,
  factor: number,
  context: RopeContext,
): YarnRope {
  const originalMaxPositionEmbeddings = readOriginalLength(rope, model, context);
  const betaFast = rope.number("beta_fast", 32, { above: 0 });
  const betaSlow = rope.number("beta_slow", 1, { above: 0 });
  if (betaFast < betaSlow) throw rope.error("beta_fast", `must be at least beta_slow, which is ${betaSlow}`);
  const [mscale, ofAll] = [rope.optionalNumber("mscale"), rope.optionalNumber("mscale_all_dim")];
  const grown = (by: number): number => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1);
  // A zero counts as absent in transformers.
  const inferred = mscale && ofAll ? grown(mscale) / grown(ofAll) : grown(1);
  const attentionFactor = rope.number("attention_factor", inferred, { min: 0 });
  const truncate = rope.boolean("truncate", true);
  refuseOthers(rope, [...common, ...yarnOnly, originalLength]);
  return {
    ...{ type: "yarn", theta, factor, betaFast, betaSlow, truncate, attentionFactor },
    originalMaxPositionEmbeddings,
  };
}

function readLongrope(rope: JsonFields, model: JsonFields, theta: number, context: RopeContext): LongRope {
  const { maxPositionEmbeddings, rotarySize } = context;
  const originalMaxPositionEmbeddings = readOriginalLength(rope, model, context);
  const factors = (key: string): readonly number[] => {
    if (!rope.has(key)) throw rope.error(key, 'is missing; rope_type "longrope" needs it');
    const list = rope.numbers(key, { above: 0 });
    if (list.length !== rotarySize / 2)
      throw rope.error(key, `must have ${rotarySize / 2} numbers, half the rotated size of a head`);
    return list;
  };
  const [shortFactor, longFactor] = [factors("short_factor"), factors("long_factor")];
  const stretch = rope.number("factor", maxPositionEmbeddings / originalMaxPositionEmbeddings, { above: 0 });
  const inferred =
    stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(originalMaxPositionEmbeddings));
  const attentionFactor = rope.number("attention_factor", inferred, { min: 0 });
  refuseOthers(rope, [...common, ...longropeOnly, originalLength]);
  return { type: "longrope", theta, shortFactor, longFactor, attentionFactor, originalMaxPositionEmbeddings };
}

function refusePartial(fields: JsonFields): void {
  fields.refuseUnless("partial_rotary_factor", [1], "rotating a part of each head is not supported");
}

function refuseOthers(rope: JsonFields, accepted: readonly string[]): void {
  const other = rope.keys().find((key) => !accepted.includes(key));
  if (other !== undefined)
    throw rope.error(other, "is not a known setting of this rope_type", `Known are ${accepted.join(", ")}`);
}

/**
 * The fields of config.json that describe `rope`, spelt as `original` spells them; in a new file as transformers 4
 * does, which version 5 reads too.
 */
export function writeRope(rope: RopeParameters, original: JsonObject): Record<string, JsonValue> {
  const theta = jsonFloat(rope.theta);
  const scaling = writeScaling(rope);
  const beside: Record<string, JsonValue> = {};
  const length = scaling[originalLength];
  if (length !== undefined && Object.hasOwn(original, originalLength)) beside[originalLength] = length;
  if (!Object.hasOwn(original, "rope_parameters"))
    return { ...beside, rope_theta: theta, rope_scaling: rope.type === "default" ? null : scaling };
  if (Object.hasOwn(original, "rope_scaling")) beside["rope_scaling"] = null;
  return { ...beside, rope_parameters: { ...scaling, rope_theta: theta } };
}

function writeScaling(rope: RopeParameters): Record<string, JsonValue> {
  const { type } = rope;
  const floats = (values: Readonly<Record<string, number>>): Record<string, JsonValue> =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, jsonFloat(value)]));
  switch (type) {
    case "default":
      return { rope_type: type };
    case "linear":
    case "dynamic":
      return { rope_type: type, ...floats({ factor: rope.factor }) };
    case "llama3":
      return {
        rope_type: type,
        ...floats({ factor: rope.factor, low_freq_factor: rope.lowFreqFactor }),
        ...floats({ high_freq_factor: rope.highFreqFactor }),
        [originalLength]: rope.originalMaxPositionEmbeddings,
      };
    case "yarn":
      return {
        rope_type: type,
        ...floats({ factor: rope.factor, attention_factor: rope.attentionFactor }),
        ...floats({ beta_fast: rope.betaFast, beta_slow: rope.betaSlow }),
        truncate: rope.truncate,
        [originalLength]: rope.originalMaxPositionEmbeddings,
      };
    case "longrope":
      return {
        rope_type: type,
        short_factor: rope.shortFactor.map(jsonFloat),
        long_factor: rope.longFactor.map(jsonFloat),
        ...floats({ attention_factor: rope.attentionFactor }),
        [originalLength]: rope.originalMaxPositionEmbeddings,
      };
  }
}
