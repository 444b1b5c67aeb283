/** @file The architectures, by `model_type` in config.json. */
import type { CausalLM } from "./causal_lm.js";
import { llamaConfigFromJson, requireModelType, type ModelConfig } from "./config.js";
import { LlamaForCausalLM } from "./llama.js";
import { mistralConfig, MistralForCausalLM } from "./mistral.js";
import type { ParameterSource } from "./parameter_source.js";
import type { JsonObject } from "./python_json.js";

/** Builds a model from its config.json and a source of its parameters. */
export type Architecture = (config: ModelConfig, source: ParameterSource) => CausalLM;

/** Reads the config before the first weight, so that what is not supported is refused at once. */
const architecture =
  <Config>(
    read: (json: JsonObject, file: string) => Config,
    Model: new (config: Config, source: ParameterSource) => CausalLM,
  ): Architecture =>
  ({ json, file }, source) =>
    new Model(read(json, file), source);

const architectures: ReadonlyMap<string, Architecture> = new Map([
  ["llama", architecture(llamaConfigFromJson, LlamaForCausalLM)],
  ["mistral", architecture(mistralConfig, MistralForCausalLM)],
]);

/** Values of `model_type` that can be loaded. */
export const supportedModelTypes: readonly string[] = [...architectures.keys()];

/** @throws CraftError for a model type that is not supported, naming those that are. */
export function architectureOf(config: ModelConfig): Architecture {
  requireModelType(config, supportedModelTypes);
  return architectures.get(config.modelType)!;
}
