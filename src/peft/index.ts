export { newAdapterConfig, readAdapter, readAdapterConfig, writeAdapter, type Adapter, type AdapterConfig } from "./adapter_files.js";
export { LoraAdapter, LoraModel, type LoraConfig } from "./lora.js";
