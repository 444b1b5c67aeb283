export { AutoModelForCausalLM, resolveDType, savePretrained, type LoadOptions } from "./auto_model.js";
export { supportedModelTypes } from "./architectures.js";
export { CausalLM, type ForwardOptions, type LayerCaches, type ModelShape } from "./causal_lm.js";
export { openCheckpoint, type Checkpoint } from "./checkpoint.js";
export * from "./config.js";
export { LlamaForCausalLM } from "./llama.js";
export { MistralForCausalLM, type MistralConfig } from "./mistral.js";
export { ParameterSource, type WeightReader } from "./parameter_source.js";
export { writeCheckpoint, type CheckpointOptions } from "./write_checkpoint.js";
