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

export type RopeParameters = DefaultRope | LinearRope | DynamicRope | Llama3Rope;

const defaultTheta = 10_000;
const supported = ["default", "linear", "dynamic", "llama3"] as const;
const common = ["rope_type", "type", "rope_theta", "partial_rotary_factor", "factor"];
const originalLength = "original_max_position_embeddings";
const llama3Only = ["low_freq_factor", "high_freq_factor"];

/**
 * Reads `rope_theta` with `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5). Where a file has
 * both, `rope_scaling` wins, as in transformers.
 *
 * @throws CraftError for a kind of scaling that is not supported, naming those that are.
 */
export function readRope(fields: JsonFields, maxPositionEmbeddings: number): RopeParameters {
  refusePartial(fields);
  const rope = described(fields);
  const theta = (rope?.has("rope_theta") ? rope : fields).number("rope_theta", defaultTheta, { above: 0 });
  if (rope === undefined) return { type: "default", theta };
  refusePartial(rope);
  for (const [key, value] of Object.entries(rope.json))
    if (isJsonObject(value))
      throw rope.error(key, "is a rotary embedding for one kind of layers, which is not supported");
  const type = ropeType(rope);
  if (type === "default") {
    rope.refuseUnless("factor", [1], 'means nothing with rope_type "default"', `Name the kind of scaling`);
    refuseOthers(rope, common);
    return { type, theta };
  }
  if (!rope.has("factor")) throw rope.error("factor", `is missing; rope_type "${type}" needs it`);
  const factor = rope.number("factor", 1, { min: 1 });
  if (type === "llama3") return readLlama3(rope, fields, theta, factor, maxPositionEmbeddings);
  rope.refuseUnless(
    originalLength,
    [maxPositionEmbeddings],
    `is not used with rope_type "${type}"`,
    "Remove it; the model's max_position_embeddings counts",
  );
  refuseOthers(rope, [...common, originalLength]);
  return { type, theta, factor };
}

function described(fields: JsonFields): JsonFields | undefined {
  const present = ["rope_scaling", "rope_parameters"].map((key) => fields.object(key));
  return present.find((rope) => rope !== undefined && rope.keys().length > 0);
}

function ropeType(rope: JsonFields): RopeParameters["type"] {
  const key = rope.has("rope_type") ? "rope_type" : "type";
  const name = rope.optionalString(key) ?? "default";
  const type = supported.find((candidate) => candidate === name);
  if (type === undefined) throw rope.error(key, "is not supported", `Supported are ${supported.join(", ")}`);
  return type;
}

function readLlama3(
  rope: JsonFields,
  model: JsonFields,
  theta: number,
  factor: number,
  maxPositionEmbeddings: number,
): Llama3Rope {
  for (const key of llama3Only)
    if (!rope.has(key)) throw rope.error(key, 'is missing; rope_type "llama3" needs it');
  const lowFreqFactor = rope.number("low_freq_factor", 1, { above: 0 });
  const highFreqFactor = rope.number("high_freq_factor", 4, { above: 0 });
  if (highFreqFactor <= lowFreqFactor)
    throw rope.error("high_freq_factor", `must be greater than low_freq_factor, which is ${lowFreqFactor}`);
  // The field beside the rotary ones is that of Phi-3; transformers lets it win.
  const place = model.has(originalLength) ? model : rope;
  const originalMaxPositionEmbeddings = place.integer(originalLength, maxPositionEmbeddings, { min: 1 });
  refuseOthers(rope, [...common, ...llama3Only, originalLength]);
  return { type: "llama3", theta, factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings };
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
  const scaling: Record<string, JsonValue> = { rope_type: rope.type };
  if (rope.type !== "default") scaling["factor"] = jsonFloat(rope.factor);
  if (rope.type === "llama3") {
    scaling["low_freq_factor"] = jsonFloat(rope.lowFreqFactor);
    scaling["high_freq_factor"] = jsonFloat(rope.highFreqFactor);
    scaling[originalLength] = rope.originalMaxPositionEmbeddings;
  }
  const beside: Record<string, JsonValue> = {};
  if (rope.type === "llama3" && Object.hasOwn(original, originalLength))
    beside[originalLength] = rope.originalMaxPositionEmbeddings;
  if (!Object.hasOwn(original, "rope_parameters"))
    return { ...beside, rope_theta: theta, rope_scaling: rope.type === "default" ? null : scaling };
  if (Object.hasOwn(original, "rope_scaling")) beside["rope_scaling"] = null;
  return { ...beside, rope_parameters: { ...scaling, rope_theta: theta } };
}
