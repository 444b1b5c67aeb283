/** @file What a model folder says about its model, apart from the weights. */
export { readConfig, requireModelType, writeConfig, type ModelConfig } from "./config_file.js";
export { readGenerationConfig, writeGenerationConfig, type GenerationConfig } from "./generation_config.js";
export { llamaConfigFromJson, llamaConfigToJson, type Activation, type LlamaConfig } from "./llama_config.js";
export type { DefaultRope, DynamicRope, LinearRope, Llama3Rope, RopeParameters } from "./rope_config.js";
