/** @file Adapters of which only the shapes are there, for models that are without weights too. */
import type { CausalLM } from "../models/causal_lm.js";
import { Parameter } from "../tensor/index.js";
import type { Shape } from "../tensor/index.js";
import { AdapterWeights, type AdapterValues } from "./adapter_weights.js";
import { loraConfig, takesFromWeight, type LoraConfig, type LoraOptions } from "./lora_config.js";
import { rankOf, resolveTargets, targetLayers } from "./targets.js";

/**
 * Freezes a model and attaches a new adapter without values, so that programs with it can be planned.
 *
 * @returns the layers that it is for, and its parameters by PEFT's names
 * @throws CraftError as {@link LoraModel.create} does.
 */
export function attachWithoutValues(
  model: CausalLM,
  options: LoraOptions,
): {
  readonly targetModules: readonly string[] | string;
  readonly parameters: ReadonlyMap<string, Parameter>;
} {
  const given = loraConfig(options);
  const config = { ...given, targetModules: resolveTargets(model, given) };
  const details = { baseModelNameOrPath: model.nameOrPath, revision: undefined, json: {} };
  const targets = targetLayers(model, config);
  const adapter = AdapterWeights.make(model, { ...config, ...details }, targets, shapesOf(config));
  model.setTrainable(false);
  adapter.attach();
  adapter.setTrainable(true);
  return { targetModules: config.targetModules, parameters: new Map(adapter.namedParameters()) };
}

const float32 = (shape: Shape, trainable = true): Parameter =>
  new Parameter({ shape, dtype: "float32" }, { trainable });

const shapesOf = (config: LoraConfig): AdapterValues => ({
  linear: (path, { inFeatures, outFeatures }) => {
    const { r } = rankOf(path, config);
    const factors = (trainable: boolean): { a: Parameter; b: Parameter } => ({
      a: float32([r, inFeatures], trainable),
      b: float32([outFeatures, r], trainable),
    });
    return {
      ...factors(true),
      magnitude: config.useDora ? float32([outFeatures]) : undefined,
      start: takesFromWeight(config) ? factors(false) : undefined,
    };
  },
  embedding: (path, { weight }) => {
    const { r } = rankOf(path, config);
    const [vocabulary, size] = weight.shape as readonly [number, number];
    const magnitude = config.useDora ? float32([size]) : undefined;
    return { a: float32([r, vocabulary]), b: float32([size, r]), magnitude };
  },
  own: ({ original }) => float32(original.shape),
  table: () => undefined,
});
