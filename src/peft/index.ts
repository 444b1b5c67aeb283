export {
  newAdapterConfig,
  readAdapter,
  readAdapterConfig,
  writeAdapter,
  type Adapter,
  type AdapterConfig,
} from "./adapter_files.js";
export { loadAdapter } from "./load_adapter.js";
export { LoraAdapter, LoraModel, type LoraConfig } from "./lora.js";
