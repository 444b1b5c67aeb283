/** @file What a model folder says about its model, apart from the weights. */
export type { DecoderConfig } from "./decoder_config.js";
export { readConfig, requireModelType, writeConfig, type ModelConfig } from "./config_file.js";
export { readGenerationConfig, writeGenerationConfig, type GenerationConfig } from "./generation_config.js";
export { llamaConfigFromJson, llamaConfigToJson, type LlamaConfig } from "./llama_config.js";
export type {
  DefaultRope,
  DynamicRope,
  LinearRope,
  Llama3Rope,
  LongRope,
  RopeParameters,
  YarnRope,
} from "./rope_config.js";
