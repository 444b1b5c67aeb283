export { AutoModelForCausalLM, resolveDType, savePretrained, type LoadOptions } from "./auto_model.js";
export { dequantizeLayers } from "../quantization/index.js";
export type { QuantizationOptions } from "./quantization_config.js";
export { supportedModelTypes } from "./architectures.js";
export { CausalLM, type ForwardOptions, type LayerCaches, type ModelShape } from "./causal_lm.js";
export { openCheckpoint, type Checkpoint } from "./checkpoint.js";
export * from "./config.js";
export { DecoderLM } from "./decoder.js";
export { LlamaForCausalLM } from "./llama.js";
export { Gemma2ForCausalLM, type GemmaConfig } from "./gemma2.js";
export { Gemma3ForConditionalGeneration } from "./gemma3.js";
export { Gemma3ForCausalLM, type Gemma3TextConfig } from "./gemma3_text.js";
export { GPT2LMHeadModel, type GPT2Config } from "./gpt2.js";
export { GPTNeoXForCausalLM, type GPTNeoXConfig } from "./gpt_neox.js";
export { MistralForCausalLM, type MistralConfig } from "./mistral.js";
export { Olmo2ForCausalLM, type Olmo2Config } from "./olmo2.js";
export { Phi3ForCausalLM, type Phi3Config } from "./phi3.js";
export { Qwen2ForCausalLM, type Qwen2Config } from "./qwen2.js";
export { Qwen3ForCausalLM, type Qwen3Config } from "./qwen3.js";
export { SmolLM3ForCausalLM, type SmolLM3Config } from "./smollm3.js";
export { ParameterSource, type WeightReader } from "./parameter_source.js";
export { writeCheckpoint, type CheckpointOptions } from "./write_checkpoint.js";
export {
  AutoModelForSequenceClassification,
  SequenceClassifier,
  type ClassifierOptions,
} from "./sequence_classifier.js";
