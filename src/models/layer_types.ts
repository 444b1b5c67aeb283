/** @file Which layers see a window of tokens only, as config.json says. */
import { isGiven } from "./decoder_config.js";
import type { JsonFields } from "./json_fields.js";

export type LayerType = "full_attention" | "sliding_attention";

const known: readonly LayerType[] = ["full_attention", "sliding_attention"];

/** Reads `layer_types`, one for each layer; `fallback` gives those of a file that has none. */
export function readLayerTypes(
  fields: JsonFields,
  layers: number,
  fallback: (layer: number) => LayerType,
): readonly LayerType[] {
  const key = "layer_types";
  const given = fields.optionalStrings(key);
  if (given === undefined) return Array.from({ length: layers }, (_, i) => fallback(i));
  if (given.length !== layers)
    throw fields.error(key, `must name a type for each of the ${layers} layers, and has ${given.length}`);
  return given.map((name) => {
    const type = known.find((candidate) => candidate === name);
    if (type === undefined)
      throw fields.error(key, `has ${name}, which is not supported`, `Supported are ${known.join(", ")}`);
    return type;
  });
}

/** Reads `sliding_window`; null stands for none, whatever the default is. */
export const readSlidingWindow = (fields: JsonFields, fallback: number | undefined): number | undefined =>
  fields.optionalInteger("sliding_window", { min: 1 }) ??
  (isGiven(fields, "sliding_window") ? undefined : fallback);

/** The window of each layer: tokens that it sees, itself included; undefined for all. */
export function windowsOf(
  fields: JsonFields,
  types: readonly LayerType[],
  window: number | undefined,
): readonly (number | undefined)[] {
  if (window === undefined && types.includes("sliding_attention"))
    throw fields.error("sliding_window", "is missing, and layer_types has sliding_attention");
  return types.map((type) => (type === "sliding_attention" ? window : undefined));
}

/**
 * The window of each layer of Qwen models: with `use_sliding_window` those from `max_window_layers` on have one, unless
 * `layer_types` says otherwise.
 */
export function readQwenWindows(fields: JsonFields, layers: number): readonly (number | undefined)[] {
  const used = fields.boolean("use_sliding_window", false);
  const window = used ? readSlidingWindow(fields, 4096) : undefined;
  const full = fields.integer("max_window_layers", 28, { min: 0 });
  const types = readLayerTypes(fields, layers, (i) =>
    window !== undefined && i >= full ? "sliding_attention" : "full_attention",
  );
  return windowsOf(fields, types, window);
}
