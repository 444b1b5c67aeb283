export {
  newAdapterConfig,
  readAdapter,
  readAdapterConfig,
  writeAdapter,
  type Adapter,
  type AdapterConfig,
  type AdapterTensors,
} from "./adapter_files.js";
export type { Update } from "./adapter_weights.js";
export { loadAdapter } from "./load_adapter.js";
export { biasModes, type LoraConfig, type LoraOptions } from "./lora_config.js";
export { LoraEmbedding } from "./lora_embedding.js";
export { LoraLinear } from "./lora_linear.js";
export { LoraModel } from "./lora.js";
export type { Combination } from "./weighted.js";
