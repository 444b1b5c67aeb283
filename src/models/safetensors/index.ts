export type { TensorEntry } from "./format.js";
export { openSafetensors, type ReadOptions, type SafetensorsFile } from "./read.js";
export { writeSafetensors, type NamedTensor, type WriteOptions } from "./write.js";
